"""Keeps one host from filling the broker for all: who has sent the most by far is thrown out and may send nothing for a while.

What is thrown away is not lost. A host keeps what must arrive until the centre's receipt, and tells all else anew.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from fleet.history.inventory.logins import LoginRow, logins, mute
from fleet.history.sql.database import Database
from fleet.road.acl import AclKeeper, HostLogin, Sends
from fleet.road.broker import BrokerAddress
from fleet.road.up import InboxReader

log = logging.getLogger(__name__)

OWN_LIST_SINCE = 2
"""The version of messages with which hosts came to append to lists of their own."""
SPARED = 64
"""Who has less than this part of the cap is never to blame, however full the broker is."""


def login_of(row: LoginRow) -> HostLogin:
    """Return what the broker must know of a host."""
    # One whose agent knows of its own list has no need of the one of all.
    sends = Sends.NOWHERE if row.muted else Sends.OWN if OWN_LIST_SINCE in row.reads else Sends.ANYWHERE
    return HostLogin(
        host_id=row.host_id.hex, password_sha256=row.password_sha256, next_sha256=row.next_sha256, sends=sends
    )


def flooding(sizes: Mapping[str, int], cap_bytes: int) -> list[str]:
    """Return which lists must go, the largest first, so that the rest fits under *cap_bytes*, by their hosts."""
    left, found = sum(sizes.values()), []
    for sender, size in sorted(sizes.items(), key=lambda item: -item[1]):
        if left <= cap_bytes or size * SPARED < cap_bytes:
            break
        found.append(sender)
        left -= size
    return found


@dataclass(slots=True, kw_only=True)
class FloodGate:
    """Looks at how much waits, and shuts out whoever sent too much."""

    db: Database
    reader: InboxReader
    keeper: AclKeeper
    cap_bytes: int

    @classmethod
    def open(cls, db: Database, broker: BrokerAddress, cap_bytes: int) -> "FloodGate":
        """Return one with connections of its own."""
        return cls(db=db, reader=InboxReader(broker), keeper=AclKeeper(broker), cap_bytes=cap_bytes)

    def look(self) -> list[str]:
        """Take the right to append from whoever sent too much, and throw that away; return whose lists those were.

        The right is given back by the reconciler when its time is over. Raise BrokerUnreachable or DatabaseUnreachable.
        """
        if self.reader.stored_bytes() <= self.cap_bytes:
            return []  # then no list has to be measured, of which there may be thousands
        sizes = self.reader.sizes()
        found = flooding(sizes, self.cap_bytes)
        for sender in found:
            blamed = [sender] if sender else self._without_own_list()
            self.keeper.apply([login_of(row) for row in mute(self.db, blamed)])
            self.reader.throw_away(sender)
            log.error("inbox flooded", extra={"host": sender or "of an earlier release", "bytes": sizes[sender]})
        return found

    def close(self) -> None:
        """Give the connections back."""
        self.reader.close()
        self.keeper.close()

    def _without_own_list(self) -> list[str]:
        """Return the hosts that may append to the one list of all: which of them did cannot be proved."""
        return [row.host_id.hex for row in logins(self.db) if OWN_LIST_SINCE not in row.reads]
