"""The planner: at every tick it runs what is due, advances every rollout, and signs and sends what hosts must hear.

A tick is safe to be lost, late, repeated, or run twice at once: SQL says what is due and who has it in hand.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from fleet.clock import Clock, SystemClock
from fleet.controller import beat, keys, pulse, schedules
from fleet.controller.check import asking_of, check_due, check_pushed
from fleet.controller.condition_log import ConditionLog
from fleet.controller.conditions import active, subjects_of
from fleet.controller.errands import Errands, Threads
from fleet.controller.flood import FloodGate
from fleet.controller.reconciler import Reconciler
from fleet.controller.resolving import Asking
from fleet.errors import BadInput, FleetError, Unreachable
from fleet.history.measured.condition_counts import keep_look
from fleet.history.registries import pushes
from fleet.history.rollouts import tick as due
from fleet.history.rollouts.caps import KeptSizes, Sizes
from fleet.history.rollouts.schedules import DueSchedule, claim_due
from fleet.history.rollouts.tick import Outgoing
from fleet.history.sql.database import Database
from fleet.history.upkeep import retention, upgrade
from fleet.road import worker
from fleet.road.down import Sender
from fleet.road.envelope import CENTRE, seal
from fleet.road.keys import SigningKey
from fleet.settings.centre import CentreSettings

log = logging.getLogger(__name__)

SCHEDULES = "schedules"
CHECK = "check"
PUSHED = "pushed"
LOOK = "look"
_MOST_PASSES = 20
"""More than rollouts wait for one another in a row, and so many times as many hosts are dispatched as one transaction does; what
is left is done at the next tick.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """Where the planner's words and questions go."""

    sender: Sender
    reconciler: Reconciler
    gate: FloodGate
    asking: Asking
    errands: Errands


class Planner:
    """The one that decides, by asking SQL what is due and carrying it out."""

    def __init__(
        self, db: Database, key: SigningKey, ways: Ways, settings: CentreSettings, *, clock: Clock | None = None
    ) -> None:
        """Prepare; *key* signs what is sent."""
        self._db = db
        self._key = key
        self._ways = ways
        self._settings = settings
        self._clock = clock or SystemClock()
        self._conditions = ConditionLog()
        self._sizes = KeptSizes()

    def tick(self) -> None:
        """Do all that is due now; raise BrokerUnreachable or DatabaseUnreachable, and the next tick makes it good."""
        began = self._clock.monotonic()
        self._begin_schedules()
        self._begin_pushed()
        due.expire(self._db)
        self._advance_and_offer()
        self.send_due()
        pulse.beat(self._settings.state_dir, self._clock.monotonic() - began)

    def send_due(self) -> int:
        """Sign and send every message that is due; return how many there were."""
        sent = 0
        while messages := due.due_messages(self._db, self._settings.planner.batch):
            try:
                self._send(messages)
            except Exception:
                due.put_back(self._db, messages)
                raise
            sent += len(messages)
            if len(messages) < self._settings.planner.batch:
                break
        return sent

    def _send(self, messages: Sequence[Outgoing]) -> None:
        self._ways.sender.send_many([(m.host_id, s) for m in messages if (s := self._signed(m))])
        due.mark_sent(self._db, messages)

    def check(self) -> None:
        """Let the tags be asked for whose time has come."""
        look = partial(
            check_due, self._db, asking=self._ways.asking, interval_s=self._settings.check.interval_s, clock=self._clock
        )
        self._ways.errands.begin(CHECK, look)

    def look(self) -> None:
        """Say in the log which conditions began to hold, and which hold no more; keep how many do, for metrics."""
        self._ways.errands.begin(LOOK, self._look)

    def _look(self) -> None:
        found = active(self._db)
        self._conditions.tell(found)
        keep_look(self._db, subjects_of(found))

    def reconcile(self) -> None:
        """Compare the broker's users with the hosts."""
        self._ways.reconciler.reconcile()

    def prune(self) -> None:
        """Make the partitions that will be needed, and delete what is not kept for ever."""
        made = upgrade.partitions(self._db)
        if made:
            log.info("partitions made", extra={"partitions": made})
        gone = {table: rows for table, rows in retention.prune(self._db).items() if rows}
        if gone:
            log.info("old rows deleted", extra={"rows": gone})

    def _begin_schedules(self) -> None:
        # Claimed only when they can begin: a claim is a lease, and one that waits would run out.
        if self._ways.errands.busy(SCHEDULES):
            return
        claimed = claim_due(self._db, self._db.now())
        if claimed:
            self._ways.errands.begin(SCHEDULES, partial(self._run_schedules, claimed))

    def _run_schedules(self, claimed: list[DueSchedule]) -> None:
        for each in claimed:
            try:
                schedules.run_due(self._db, each, asking=self._ways.asking, clock=self._clock)
            except Unreachable:
                raise
            except Exception:
                # One schedule that cannot be understood must not keep all others waiting.
                log.exception("schedule cannot be run", extra={"schedule": each.schedule.name})

    def _begin_pushed(self) -> None:
        """Let those tags be asked for of which a push was heard; where none was, a tick asks one small table."""
        if not self._ways.errands.busy(PUSHED) and pushes.any_due(self._db):
            self._ways.errands.begin(
                PUSHED, partial(check_pushed, self._db, asking=self._ways.asking, clock=self._clock)
            )

    def _advance_and_offer(self) -> None:
        """Bring all rollouts to rest, and send the offers to hosts that were dispatched, a batch at a time."""
        offers: list[Outgoing] = []
        try:
            self._advance_all(offers)
            self._ways.reconciler.reconcile_where_new()
            self._ways.reconciler.let_in_changed()
            self._ways.gate.look()
            while batch := offers[: self._settings.planner.batch]:
                self._send(batch)
                del offers[: len(batch)]
        except Exception:
            # They count as sent since they were committed.
            due.put_back(self._db, offers)
            raise

    def _advance_all(self, offers: list[Outgoing]) -> None:
        """Bring all rollouts to rest: what one does may be what another waits for, such as that a newer one begins.

        What is to be sent is added to *offers* as soon as it is committed, so that nothing is lost where another fails.
        """
        sizes = self._sizes.of(self._db)
        for _ in range(_MOST_PASSES):
            changed = [self._advance(rollout_id, sizes, offers) for rollout_id in due.active_rollouts(self._db)]
            if not any(changed):
                return

    def _advance(self, rollout_id: UUID, sizes: Sizes, offers: list[Outgoing]) -> bool:
        try:
            advanced = due.advance_rollout(self._db, rollout_id, sizes)
            offers += advanced.offers
            return advanced.changed
        except Unreachable:
            raise
        except Exception:
            # One rollout that cannot be understood must not keep all others waiting.
            log.exception("rollout cannot be advanced", extra={"rollout": str(rollout_id)})
            return False

    def _signed(self, outgoing: Outgoing) -> str:
        """Return the signed message; empty, and told, where it cannot be signed: it would fail again at every tick."""
        try:
            return seal(outgoing.message, key=self._key, issuer=CENTRE, audience=outgoing.host_id, clock=self._clock)
        except BadInput as error:
            log.error("message cannot be sent", extra={"host": outgoing.host_id, "reason": str(error)})
            return ""


def run(settings: CentreSettings) -> None:
    """Plan until SIGTERM, as the worker of the tick's queue; raise Refused for a database of another shape."""
    db = Database.open(settings.database_url)
    upgrade.require_head(db)
    broker = settings.broker_address()
    ways = Ways(
        sender=Sender(broker),
        reconciler=Reconciler(db, broker),
        gate=FloodGate.open(db, broker, settings.inbox.cap_bytes),
        asking=asking_of(settings.check),
        errands=Threads(),
    )
    planner = Planner(db, keys.signing_key(settings.state_dir), ways, settings)
    others = {
        beat.CHECK: planner.check,
        beat.LOOK: planner.look,
        beat.RECONCILE: planner.reconcile,
        beat.PRUNE: planner.prune,
    }
    worker.run_tick_worker(
        broker, _calmly("tick", planner.tick), {name: _calmly(name, work) for name, work in others.items()}
    )


def _calmly(name: str, work: Callable[[], None]) -> Callable[[], None]:
    """Return *work*, whose failures are told and do no harm: the next beat makes them good."""

    def do() -> None:
        try:
            work()
        except FleetError as error:
            log.warning("beat failed", extra={"beat": name, "reason": str(error)})
        except Exception:
            log.exception("beat failed", extra={"beat": name})

    return do
