"""The hosts of a wave that wait: which are silent, back, away too long, or in quarantine."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, FromClause, RowMapping, Select, and_, case, func, select

from fleet.history.commands.parked import to_be_looked_at
from fleet.history.rollouts.quarantine import in_quarantine
from fleet.history.tables.inventory import hosts
from fleet.history.tables.rollouts import rollout_hosts
from fleet.rollouts.silence import SILENT_AFTER, silence
from fleet.rollouts.spec import RolloutSpec
from fleet.rollouts.states import WAITING, HostState, WaveState


def silent(now: datetime, after: timedelta = SILENT_AFTER) -> ColumnElement[bool]:
    """Return the condition, over ``hosts``, that a host has not been heard of for so long."""
    return func.coalesce(hosts.c.last_seen_at <= now - after, True)


def too_long(spec: RolloutSpec, now: datetime) -> datetime:
    """Return since when a host that has been parked is silent for longer than it may catch up."""
    return now - timedelta(milliseconds=spec.offline.catch_up_ms)


def of_wave(rollout_id: UUID, number: int, *states: HostState) -> ColumnElement[bool]:
    """Return the condition, over ``rollout_hosts``, of one wave's hosts in some states."""
    c = rollout_hosts.c
    return and_(c.rollout_id == rollout_id, c.wave == number, c.state.in_(states))


def waiting(
    connection: Connection,
    row: RowMapping,
    wave: RowMapping,
    counts: Mapping[HostState, int],
    spec: RolloutSpec,
    most: int,
    now: datetime,
) -> Counter[str]:
    """Count what waits in a wave that was opened, by the names of ``WaveFacts``; of those pending the next *most*.

    One statement for the pending and one for the parked, where there are any; of these only whom something was told of, and who
    has been away too long.
    """
    found: Counter[str] = Counter()
    if wave["state"] is WaveState.PENDING or not any(counts.get(state) for state in WAITING):
        return found
    pending = _of_pending(row, spec, now)
    if pending and counts.get(HostState.PENDING):
        next_ = _next(row["id"], wave["number"], most).subquery()
        found += _counted(connection, next_.join(hosts, hosts.c.id == next_.c.host_id), pending)
    if spec.offline.park and counts.get(HostState.PARKED):
        told = to_be_looked_at(row["id"], wave["number"], now, too_long(spec, now)).subquery()
        parked = _of_parked(row, spec, told.c.parked_at, now)
        found += _counted(connection, told.join(hosts, hosts.c.id == told.c.host_id), parked)
    return found


_Conditions = dict[str, ColumnElement[bool]]


def _of_pending(row: RowMapping, spec: RolloutSpec, now: datetime) -> _Conditions:
    asked: _Conditions = {}
    if spec.offline.park:
        asked["silent"] = silent(now, silence(spec))
    return asked | _quarantined(row, spec)


def _of_parked(row: RowMapping, spec: RolloutSpec, parked_at: ColumnElement[datetime], now: datetime) -> _Conditions:
    away = silent(now, silence(spec))
    asked = {"returned": ~away, "overdue": and_(away, parked_at <= too_long(spec, now))}
    return asked | _quarantined(row, spec)


def _quarantined(row: RowMapping, spec: RolloutSpec) -> _Conditions:
    if spec.quarantine_after is None or row["way_back_of"] is not None:
        return {}
    return {"quarantined": in_quarantine(row, spec)}


def _counted(connection: Connection, among: FromClause, conditions: _Conditions) -> Counter[str]:
    sums = [func.coalesce(func.sum(case((condition, 1), else_=0)), 0) for condition in conditions.values()]
    counted = connection.execute(select(*sums).select_from(among)).one()
    return Counter({name: int(count) for name, count in zip(conditions, counted, strict=True)})


def _next(id: UUID, number: int, most: int) -> Select[Any]:
    """Select the *most* pending hosts of a wave whose turn comes next.

    Those behind them are looked at when they are the next: all of a wave may be all of the fleet.
    """
    first = select(rollout_hosts.c.host_id).where(of_wave(id, number, HostState.PENDING))
    return first.order_by(rollout_hosts.c.position).limit(most)
