"""Parked hosts that their rollouts have to look at: those of which something was told, and those that have been away too long.

All others stand as they stood, so that a tick costs nothing for them, however many they are.
"""

from collections import defaultdict
from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, CompoundSelect, Connection, select, union_all, update

from fleet.history.sql.among import among, among_states
from fleet.history.tables.rollouts import rollout_hosts
from fleet.rollouts.states import HostState

_C = rollout_hosts.c
_IS_PARKED = among_states(_C.state, [HostState.PARKED])


def tell(connection: Connection, host_ids: Collection[UUID], now: datetime) -> None:
    """Let every rollout look at those of these hosts that it has parked: they were heard of, or failed in another one.

    Whom another transaction has locked is left out, so that nobody waits for anybody: who was heard of is told of again.
    """
    if not host_ids:
        return
    here = (_IS_PARKED, _C.look_at.is_(None), among(connection, _C.host_id, host_ids))
    query = select(_C.rollout_id, _C.host_id).where(*here).with_for_update(skip_locked=True)
    found: dict[UUID, list[UUID]] = defaultdict(list)
    for rollout_id, host_id in connection.execute(query).all():
        found[rollout_id].append(host_id)
    for rollout_id, ids in found.items():
        mine = (_C.rollout_id == rollout_id, among(connection, _C.host_id, ids), _IS_PARKED)
        connection.execute(update(rollout_hosts).where(*mine).values(look_at=now))


def told_of(rollout_id: UUID, number: int, now: datetime) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions of those parked hosts of a wave of which something was told."""
    return (*_of_wave(rollout_id, number), _C.look_at <= now)


def to_be_looked_at(rollout_id: UUID, number: int, now: datetime, too_long: datetime) -> CompoundSelect[Any]:
    """Select the ids of those, and of the ones that have been parked since *too_long*, each with when it was parked."""
    told = select(_C.host_id, _C.parked_at).where(*told_of(rollout_id, number, now))
    # Not as one condition: no index serves an "or".
    overdue = (*_of_wave(rollout_id, number), _C.look_at.is_(None), _C.parked_at <= too_long)
    return union_all(told, select(_C.host_id, _C.parked_at).where(*overdue))


def _of_wave(rollout_id: UUID, number: int) -> tuple[ColumnElement[bool], ...]:
    return (_C.rollout_id == rollout_id, _C.wave == number, _IS_PARKED)
