"""Hosts of a wave that wait, moved together: parked, back again, given up, taken elsewhere, or withdrawn."""

from collections.abc import Collection, Mapping
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, RowMapping, func, insert, select, update

from fleet.history.commands.moves import PLACE, HostTry, load_hosts, save_hosts
from fleet.history.commands.parked import told_of
from fleet.history.rollouts.late_joiners import late_hosts
from fleet.history.rollouts.quarantine import in_quarantine
from fleet.history.rollouts.waiting_hosts import of_wave, silent, too_long
from fleet.history.sql.among import among
from fleet.history.tables.inventory import hosts
from fleet.history.tables.rollouts import rollout_hosts, waves
from fleet.rollouts.silence import silence
from fleet.rollouts.spec import RolloutSpec
from fleet.rollouts.states import WAITING, HostState
from fleet.rollouts.waiting import IN_QUARANTINE

_C = rollout_hosts.c


def park(connection: Connection, row: RowMapping, number: int, now: datetime) -> None:
    """Park the hosts of a wave that are pending and silent; those in quarantine are skipped, since nobody asks again."""
    spec = RolloutSpec.parse(row["spec"])
    away = (of_wave(row["id"], number, HostState.PENDING), silent(now, silence(spec)))
    _end(connection, _found(connection, *away, in_quarantine(row, spec)), HostState.SKIPPED, IN_QUARANTINE, now)
    for each in (found := _found(connection, *away)):
        each.parked_at = now
        each.move(HostState.PARKED, now, reason="it is silent")
    save_hosts(connection, found)
    # What was told of them when they were parked before.
    anew = (*told_of(row["id"], number, now), _C.parked_at == now)
    connection.execute(update(rollout_hosts).where(*anew).values(look_at=None))


def unpark(connection: Connection, row: RowMapping, number: int, now: datetime) -> None:
    """Let the parked hosts of a wave that were heard of be pending again."""
    away = silent(now, silence(RolloutSpec.parse(row["spec"])))
    for each in (found := _found(connection, *told_of(row["id"], number, now), ~away)):
        each.parked_at = None
        each.move(HostState.PENDING, now)
    save_hosts(connection, found)


def give_up(connection: Connection, row: RowMapping, number: int, reason: str, now: datetime) -> None:
    """Cancel the hosts of a wave that have been parked, and silent, for longer than they may catch up."""
    spec = RolloutSpec.parse(row["spec"])
    long = too_long(spec, now)
    overdue = (of_wave(row["id"], number, HostState.PARKED), silent(now, silence(spec)), _C.parked_at <= long)
    _end(connection, _found(connection, *overdue), HostState.CANCELLED, reason, now)


def skip_quarantined(connection: Connection, row: RowMapping, number: int, reason: str, now: datetime) -> None:
    """Skip the waiting hosts of a wave that are in quarantine."""
    waiting = of_wave(row["id"], number, *WAITING)
    found = _found(connection, waiting, in_quarantine(row, RolloutSpec.parse(row["spec"])))
    _end(connection, found, HostState.SKIPPED, reason, now)


def refill(connection: Connection, id: UUID, number: int, taken_from: int, count: int) -> None:
    """Move the first *count* pending hosts of wave *taken_from*, by their places, to wave *number*."""
    first = select(_C.host_id).where(of_wave(id, taken_from, HostState.PENDING)).order_by(_C.position).limit(count)
    ids = list(connection.execute(first).scalars())
    mine = (_C.rollout_id == id, among(connection, _C.host_id, ids))
    moved = connection.execute(update(rollout_hosts).where(*mine).values(wave=number)).rowcount
    _resize(connection, id, {number: moved, taken_from: -moved})


def admit(connection: Connection, row: RowMapping, number: int, now: datetime) -> int:
    """Put the hosts that came after the plan at the end of a wave, pending; return how many there were."""
    late = late_hosts(connection, row)
    last = connection.execute(select(func.max(_C.position)).where(_C.rollout_id == row["id"])).scalar()
    place = -1 if last is None else last
    rows = [host_row(row["id"], id, number, place + n, targets, now) for n, (id, targets) in enumerate(late.items(), 1)]
    if rows:
        connection.execute(insert(rollout_hosts), rows)
        _resize(connection, row["id"], {number: len(rows)})
    return len(rows)


def _resize(connection: Connection, id: UUID, by: Mapping[int, int]) -> None:
    """Note how many hosts came to waves of a rollout, or went; the rollout is locked."""
    for number, count in by.items():
        mine = (waves.c.rollout_id == id, waves.c.number == number)
        # What was made by an earlier release stays without a number.
        connection.execute(update(waves).where(*mine).values(hosts=waves.c.hosts + count))


def host_row(
    rollout_id: UUID, host_id: UUID, wave: int, position: int, targets: object, now: datetime
) -> dict[str, object]:
    """Return the row of a host whose turn is to come."""
    return {
        "rollout_id": rollout_id,
        "host_id": host_id,
        "wave": wave,
        "position": position,
        "state": HostState.PENDING,
        "targets": targets,
        "tries": 0,
        "command_id": None,
        "reason": "",
        "not_before": None,
        "changed_at": now,
        "failure": None,
        "parked_at": None,
    }


def end(
    connection: Connection, id: UUID, states: Collection[HostState], to: HostState, reason: str, now: datetime
) -> None:
    """End every host of a rollout that is in one of *states*."""
    _end(connection, _found(connection, _C.rollout_id == id, _C.state.in_(states)), to, reason, now)


def retry(connection: Connection, id: UUID, number: int, states: Collection[HostState], now: datetime) -> None:
    """Let the hosts of a wave that are in one of *states* be pending again, with all of their tries."""
    for each in (found := _found(connection, of_wave(id, number, *states))):
        each.tries, each.not_before, each.failure = 0, None, None
        each.move(HostState.PENDING, now, reason="tried again")
    save_hosts(connection, found)


def _end(connection: Connection, found: Collection[HostTry], to: HostState, reason: str, now: datetime) -> None:
    for each in found:
        each.parked_at = None
        each.move(to, now, reason=reason)
    save_hosts(connection, found)


def _found(connection: Connection, *conditions: ColumnElement[bool]) -> list[HostTry]:
    known = select(hosts.c.id).where(hosts.c.id == _C.host_id, *conditions)
    return list(load_hosts(connection, select(*PLACE).where(known.exists())).values())
