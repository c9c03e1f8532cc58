"""The turns of one host: where it stands in the newest rollouts that have it, which is why it was or was not updated."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select

from fleet.history.sql.database import Database
from fleet.history.tables.rollouts import rollout_hosts, rollouts
from fleet.rollouts.states import Hold, HostState, RolloutState


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One rollout, and where a host stands in it."""

    number: int
    rollout_state: RolloutState
    holds: tuple[Hold, ...]
    asked_by: str
    created_at: datetime
    """When the rollout was made."""
    wave: int
    """From 0."""
    state: HostState
    tries: int
    reason: str
    changed_at: datetime


def turns(db: Database, host_id: UUID, limit: int) -> list[Turn]:
    """Return the newest *limit* turns of a host, newest first."""
    r, h = rollouts.c, rollout_hosts.c
    query = (
        select(r.number, r.state.label("rollout_state"), r.holds, r.asked_by, r.created_at)
        .add_columns(h.wave, h.state, h.tries, h.reason, h.changed_at)
        .join(rollouts, r.id == h.rollout_id)
        .where(h.host_id == host_id)
        .order_by(h.rollout_id.desc())
        .limit(limit)
    )
    with db.reading() as connection:
        rows = [dict(row) for row in connection.execute(query).mappings()]
    return [Turn(**row | {"holds": tuple(map(Hold, row["holds"]))}) for row in rows]
