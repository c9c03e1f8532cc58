"""The rollouts that are not over, and what holds them."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, func, select

from fleet.history.commands.pinned import Brought, brought
from fleet.history.sql.database import Database
from fleet.history.tables.rollouts import rollouts, waves
from fleet.rollouts.states import Hold, WaveState


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a person is to approve."""

    wave: int
    """From 0."""
    waves: int
    """How many the rollout has."""
    hosts: int | None
    """How many hosts the wave has, where that is known."""
    since: datetime
    """When the wave before it ended, or the rollout was made."""
    brought: Brought
    """What the wave brings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldRow:
    """One rollout that is not over, and what holds it."""

    number: int
    holds: frozenset[Hold]
    asked: Asked | None = None
    """What it waits for a person to approve; None: for nothing."""


def open_rollouts(db: Database) -> int:
    """Return how many rollouts are not over."""
    with db.reading() as connection:
        return connection.execute(select(func.count()).where(rollouts.c.ended_at.is_(None))).scalar_one()


def held_rollouts(db: Database) -> list[HeldRow]:
    """Return the rollouts that something holds, oldest first."""
    r = rollouts.c
    query = select(r.id, r.number, r.holds, r.created_at).where(r.ended_at.is_(None)).order_by(r.number)
    with db.reading() as connection:
        rows = [row for row in connection.execute(query).all() if row.holds]
        return [
            HeldRow(
                number=row.number,
                holds=frozenset(map(Hold, row.holds)),
                asked=_asked(connection, row.id, row.created_at) if Hold.APPROVAL in row.holds else None,
            )
            for row in rows
        ]


def _asked(connection: Connection, rollout_id: UUID, since: datetime) -> Asked | None:
    """Return what is to be approved of a rollout: the first wave that has not begun."""
    w = waves.c
    query = select(w.number, w.state, w.ended_at, w.hosts).where(w.rollout_id == rollout_id).order_by(w.number)
    found = connection.execute(query).all()
    wave = next((row for row in found if row.state is WaveState.PENDING), None)
    if wave is None:
        return None
    ended = [row.ended_at for row in found[: wave.number] if row.ended_at]
    since = max(ended, default=since)
    return Asked(
        wave=wave.number,
        waves=len(found),
        hosts=wave.hosts,
        since=since,
        brought=brought(connection, rollout_id, wave.number),
    )
