"""One rollout, brought to where it can do nothing more now: facts are read, ``advance`` decides, rows follow."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, RowMapping, select, text

from fleet.history.rollouts import candidates
from fleet.history.rollouts.ahead import pull_ahead
from fleet.history.rollouts.caps import Sizes
from fleet.history.rollouts.carrying import carry_out
from fleet.history.rollouts.dispatch import Offered
from fleet.history.rollouts.facts import facts_of
from fleet.history.rollouts.wave_moves import gather
from fleet.history.rules.stops import look
from fleet.history.sql.database import Database
from fleet.history.tables.rollouts import rollouts
from fleet.rollouts.advance import advance
from fleet.rollouts.states import RolloutState, WaveState

_ONE_AT_A_TIME = 0x666C65657464
"""The key of the advisory lock of whoever dispatches on PostgreSQL: two rollouts never want one host at once, and no
two count the same host into one cap.
"""

_MOST_ROUNDS = 1000
"""More than any rollout needs to come to rest: its waves, some times over, and its beginning and end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """How a rollout came to rest."""

    changed: bool
    """Whether there was anything to decide; there may be more."""
    offered: tuple[Offered, ...] = ()
    """Whose offers are to be sent once it is committed."""


def advance_to_rest(db: Database, connection: Connection, rollout_id: UUID, sizes: Sizes) -> Rest:
    """Carry decisions out until there are none, or until many hosts were dispatched; whoever comes next goes on.

    Nothing is changed where another planner is at it. *sizes* hold what was counted for caps before.
    """
    one_at_a_time(connection)
    # Before any row is locked, and before it is asked what time it is: offers are made here, and no stop may come between.
    look(connection)
    now = db.moment(connection)
    query = select(rollouts).where(rollouts.c.id == rollout_id).with_for_update(skip_locked=True)
    row: RowMapping | None = connection.execute(query).mappings().one_or_none()
    if row is None:
        return Rest(changed=False)
    offered: tuple[Offered, ...] = ()
    for done in range(_MOST_ROUNDS):
        facts = facts_of(connection, row, now, sizes)
        decisions = advance(facts, now)
        if not decisions:
            gather(connection, rollout_id)
            if any(wave.prefetched and wave.state is WaveState.PENDING for wave in facts.waves):
                pull_ahead(connection, row, now)
            goes_on = facts.state is RolloutState.RUNNING and not facts.holds
            # What was held or ended since has its commands called off by who sends what is due.
            return Rest(changed=done > 0, offered=offered if goes_on else ())
        offered += carry_out(connection, row, decisions, now)
        if len(offered) >= candidates.AT_ONCE:
            return Rest(changed=True, offered=offered)
        row = connection.execute(query).mappings().one()
    raise RuntimeError(f"rollout {rollout_id} does not come to rest")


def one_at_a_time(connection: Connection) -> None:
    """Wait until nobody else decides about any rollout, and let nobody until this transaction has ended."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ONE_AT_A_TIME})
