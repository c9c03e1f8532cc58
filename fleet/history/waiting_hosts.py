"""The hosts of a wave that wait: which are silent, back, away too long, or in quarantine."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, FromClause, RowMapping, Select, and_, case, func, select

from fleet.history.hosts import SILENT_AFTER
from fleet.history.inventory_tables import hosts
from fleet.history.quarantine import in_quarantine
from fleet.history.rollout_tables import rollout_hosts
from fleet.rollouts.spec import RolloutSpec
from fleet.rollouts.states import WAITING, HostState, WaveState


def silence(spec: RolloutSpec) -> timedelta:
    """Return after how long without a word a host counts as silent in a rollout."""
    after = spec.offline.after_ms
    return SILENT_AFTER if after is None else timedelta(milliseconds=after)


def silent(now: datetime, after: timedelta = SILENT_AFTER) -> ColumnElement[bool]:
    """Return the condition, over ``hosts``, that a host has not been heard of for so long."""
    return func.coalesce(hosts.c.last_seen_at <= now - after, True)


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

    One statement for the pending and one for the parked, where there are any.
    """
    found: Counter[str] = Counter()
    if wave["state"] is WaveState.PENDING or not any(counts.get(state) for state in WAITING):
        return found
    pending, parked = _conditions(row, spec, now)
    if pending and counts.get(HostState.PENDING):
        next_ = _next(row["id"], wave["number"], most).subquery()
        found += _counted(connection, next_.join(hosts, hosts.c.id == next_.c.host_id), pending)
    if parked and counts.get(HostState.PARKED):
        mine = and_(hosts.c.id == rollout_hosts.c.host_id, of_wave(row["id"], wave["number"], HostState.PARKED))
        found += _counted(connection, rollout_hosts.join(hosts, mine), parked)
    return found


_Conditions = dict[str, ColumnElement[bool]]


def _conditions(row: RowMapping, spec: RolloutSpec, now: datetime) -> tuple[_Conditions, _Conditions]:
    """Return what is asked of pending hosts, and of parked ones."""
    pending: _Conditions = {}
    parked: _Conditions = {}
    if spec.offline.park:
        long = timedelta(milliseconds=spec.offline.catch_up_ms)
        away = silent(now, silence(spec))
        pending["silent"] = away
        parked["returned"] = ~away
        parked["overdue"] = and_(away, rollout_hosts.c.parked_at <= now - long)
    if spec.quarantine_after is not None and row["way_back_of"] is None:
        pending["quarantined"] = parked["quarantined"] = in_quarantine(row, spec)
    return pending, parked


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
