"""Keeps the broker's users as the hosts in SQL say: they are set by command, so a broker that restarts forgets them."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from fleet.controller.flood import login_of
from fleet.history.inventory.logins import changed_logins, logins, note_strangers, note_told
from fleet.history.sql.database import Database
from fleet.road.acl import AclKeeper, HostLogin
from fleet.road.broker import BrokerAddress
from fleet.road.down import broker_errors

log = logging.getLogger(__name__)

TURNED_AWAY = timedelta(minutes=2)
"""How far back the broker's own list of refused logins is read: two intervals, so that none is missed."""
STRANGERS_GAP = timedelta(minutes=10)
"""Who is turned away so long after the last time is another one; and so long a new key may be tried before it holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """What had to be set right at the broker, counted."""

    restored: int = 0
    """Hosts whose user was missing, or had another password or other rights."""
    dropped: int = 0
    """Users of hosts that there are no more."""


class Reconciler:
    """Compares the broker's users with the hosts, and sets right what differs."""

    def __init__(self, db: Database, broker: BrokerAddress) -> None:
        """Prepare; *broker* has the centre's own login."""
        self._db = db
        self._broker = broker
        self._keeper = AclKeeper(broker)
        self._client = broker.client()
        self._run_id = ""

    def reconcile(self) -> Reconciled:
        """Set right what differs; raise BrokerUnreachable or DatabaseUnreachable."""
        missing = self._keeper.differing(self._logins())
        self._tell([(each.login, each.void) for each in missing])
        strangers = self._keeper.strangers(self._logins())
        if strangers:
            # A host may have been added while the users were read: only who is a stranger still is dropped.
            known = {login.host_id for login in self._logins()}
            strangers = [host_id for host_id in strangers if host_id not in known]
            self._keeper.drop(strangers)
        note_strangers(self._db, self._keeper.turned_away(TURNED_AWAY.total_seconds()), STRANGERS_GAP)
        if missing or strangers:
            log.info("broker users set right", extra={"restored": len(missing), "dropped": len(strangers)})
        return Reconciled(restored=len(missing), dropped=len(strangers))

    def let_in_changed(self) -> int:
        """Tell the broker of the hosts whose password is being replaced; return how many there were.

        Raise BrokerUnreachable or DatabaseUnreachable; then the next look tries again.
        """
        changed = changed_logins(self._db)
        self._tell([(login_of(each.login), each.void) for each in changed])
        note_told(self._db, changed)
        return len(changed)

    def reconcile_where_new(self) -> bool:
        """Reconcile where the broker is another process than at the last look; return whether it was.

        Costs one question. Raise BrokerUnreachable or DatabaseUnreachable; then the next look tries again.
        """
        with broker_errors(self._broker):
            run_id = str(self._client.info("server")["run_id"])
        if run_id == self._run_id:
            return False
        self.reconcile()
        self._run_id = run_id
        return True

    def close(self) -> None:
        """Give the connections back."""
        self._keeper.close()
        self._client.close()

    def _tell(self, told: Sequence[tuple[HostLogin, bool]]) -> None:
        """Tell the broker of logins, each with whether a password ceased to hold."""
        for void in (False, True):
            # The connections that the void password made end with it; its host comes back with the new one.
            self._keeper.apply([login for login, of in told if of is void], cut=void)

    def _logins(self) -> list[HostLogin]:
        return [login_of(row) for row in logins(self._db)]
