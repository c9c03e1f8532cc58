"""What a tick takes while most of a large rollout waits: for silent hosts to come back, or for the windows of their policies."""

from datetime import timedelta
from functools import partial

from sqlalchemy import update

from benchmarks._rollout_fleet import SITES
from benchmarks._rollout_steps import clear, idle, skip_the_first_wave
from benchmarks._rollout_timing import Took, timed
from fleet.controller import plans
from fleet.history.rollouts import tick
from fleet.history.rollouts.plans import apply_plan
from fleet.history.rules import policies
from fleet.history.sql.database import Database
from fleet.history.tables.inventory import hosts
from fleet.history.tables.words import PolicyKind
from fleet.rollouts.selector import Selector
from fleet.rollouts.spec import Gate, LateJoiners, OfflineSpec, RolloutSpec, WaveSpec

PARKED = "idle tick, nine tenths of the hosts parked"
SHUT = "idle tick, all hosts outside the windows of their policies"
TICKS = 10
AT_ONCE = 5000
"""As many as in the other figures are under way at once."""
_OWN = 5
"""So many sites have windows of their own."""


def waits(db: Database, size: int) -> dict[str, Took]:
    """Return what a tick takes in each of these states, of which nothing comes: the mean of some."""
    found = {}
    _set_last_heard(db, timedelta(hours=1))
    _began(db, size)
    found[PARKED] = _ticks(db)
    _set_last_heard(db, timedelta())
    _set_windows(db)
    _began(db, size)
    found[SHUT] = _ticks(db)
    _drop_windows(db)
    return found


def _ticks(db: Database) -> Took:
    idle(db)
    return timed(db, partial(_idle, db))[1].each(TICKS)


def _idle(db: Database) -> None:
    for _ in range(TICKS):
        idle(db)


def _began(db: Database, size: int) -> None:
    """Begin a rollout whose first wave, a tenth of the hosts, is over, and bring it to rest."""
    clear(db)
    plan = plans.make_plan(db, Selector(), by="bench")
    lenient = Gate(success_pct=0, tolerance_pct=100, min_successes=0)
    spec = RolloutSpec(
        waves=(WaveSpec(size="10%", gate=lenient), WaveSpec(gate=Gate())),
        max_parallel=min(size, AT_ONCE),
        rate_per_minute=10 * size,
        offline=OfflineSpec(park=True),
        late_joiners=LateJoiners.CONVERGE,
        quarantine_after=3,
    )
    id = apply_plan(db, plan.id, by="bench", door="bench", spec=spec)
    skip_the_first_wave(db, id)
    while tick.advance_rollout(db, id).changed:
        pass


def _set_last_heard(db: Database, ago: timedelta) -> None:
    """Let nine tenths of the hosts have been heard of last so long ago."""
    with db.writing() as connection:
        silent = hosts.c.name.not_like("%0")
        connection.execute(update(hosts).where(silent).values(last_seen_at=db.moment(connection) - ago))


def _set_windows(db: Database) -> None:
    """Write windows of which none is open within twelve hours: of the fleet, and of some sites other ones."""
    later = db.now() + timedelta(hours=12)
    for number in range(_OWN + 1):
        window = {"start": f"{later.hour:02}:{10 + number}", "duration": "30m"}
        kind, subject = (PolicyKind.LABEL, f"site=s{number % SITES}") if number else (PolicyKind.FLEET, "")
        policies.set_policy(db, kind, subject, {"windows": [window]}, by="bench", door="bench")


def _drop_windows(db: Database) -> None:
    for row in policies.policies(db):
        policies.set_policy(db, row.kind, row.subject, {}, by="bench", door="bench")
