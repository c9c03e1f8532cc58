"""The rollouts that are not over, and what holds them."""

from dataclasses import dataclass

from sqlalchemy import func, select

from fleet.history.database import Database
from fleet.history.rollout_tables import rollouts
from fleet.rollouts.states import Hold


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldRow:
    """One rollout that is not over, and what holds it."""

    number: int
    holds: frozenset[Hold]


def open_rollouts(db: Database) -> int:
    """Return how many rollouts are not over."""
    with db.reading() as connection:
        return connection.execute(select(func.count()).where(rollouts.c.ended_at.is_(None))).scalar_one()


def held_rollouts(db: Database) -> list[HeldRow]:
    """Return the rollouts that something holds, oldest first."""
    query = select(rollouts.c.number, rollouts.c.holds).where(rollouts.c.ended_at.is_(None)).order_by(rollouts.c.number)
    with db.reading() as connection:
        rows = connection.execute(query).all()
    return [HeldRow(number=number, holds=frozenset(map(Hold, holds))) for number, holds in rows if holds]
