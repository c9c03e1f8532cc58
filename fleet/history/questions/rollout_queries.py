"""Rollouts, their waves and hosts, and how far the live ones are."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, RowMapping, func, select

from fleet.history.commands.pinned import pins_of, whole
from fleet.history.sql.database import Database
from fleet.history.sql.lookup import find, not_found
from fleet.history.sql.pages import FIRST, Page, PageRequest, page_of
from fleet.history.tables.facts import commands
from fleet.history.tables.inventory import hosts
from fleet.history.tables.road import progress as progress_table
from fleet.history.tables.rollouts import rollout_hosts, waves
from fleet.history.tables.rollouts import rollouts as table
from fleet.rollouts.spec import RolloutSpec
from fleet.rollouts.states import CommandState, Hold, HostState, RolloutState, WaveState

_LONGEST_NUMBER = 9
"""Digits: what fits the column."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveRow:
    """One wave, with how many of its hosts are in which state."""

    number: int
    state: WaveState
    opened_at: datetime | None
    ended_at: datetime | None
    counts: dict[HostState, int]
    soak_since: datetime | None = None
    """Since when it soaks; None: its gate is not met, or it needs none."""
    approved_by: str | None = None
    decided_by: str | None = None
    """Who waived or last retried it."""
    reason: str | None = None
    evidence: dict[str, int] | None = None
    """The numbers that its gate was judged by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutRow:
    """One rollout."""

    id: UUID
    number: int
    """For people: ``#42``."""
    state: RolloutState
    spec: RolloutSpec
    holds: frozenset[Hold]
    asked_by: str
    plan_id: UUID | None
    reason: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    way_back_of: UUID | None = None
    """The rollout that this one undoes."""
    back: bool | None = None
    """Whether it brings containers back to what ran before; None: written before that was told."""
    superseded_by: UUID | None = None
    forgiven: int | None = None
    counted_from: datetime | None = None
    counts: dict[HostState, int]
    """How many of its hosts are in which state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutHostRow:
    """One host in a rollout."""

    host_id: UUID
    host: str
    wave: int
    position: int
    state: HostState
    targets: tuple[dict[str, Any], ...]
    tries: int
    command_id: UUID | None
    reason: str
    not_before: datetime | None
    changed_at: datetime
    failure: str | None = None
    """Whose fault the latest failed try is; None: none failed."""
    parked_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutDetail:
    """One rollout with its waves and hosts."""

    rollout: RolloutRow
    waves: tuple[WaveRow, ...]
    hosts: tuple[RolloutHostRow, ...]
    undoes: int | None = None
    """The number of the rollout that this one undoes."""
    undone_by: tuple[int, ...] = ()
    """The numbers of its ways back, oldest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressRow:
    """How far one live host of a rollout is."""

    command_id: UUID
    host_id: UUID
    host: str
    state: CommandState
    container: str
    """Empty: all of the command."""
    phase: str
    """Empty: nothing was told yet."""
    bytes: int
    total: int
    mirror: str
    at: datetime | None


def rollout(db: Database, id_or_number: UUID | int | str) -> RolloutDetail:
    """Return one rollout by id, number, ``#number`` or the last 8 hex digits of its id; raises NotFound."""
    with db.reading() as connection:
        row = _find(connection, id_or_number)
        by_wave = _counts(connection, [row["id"]])
        query = select(waves).where(waves.c.rollout_id == row["id"]).order_by(waves.c.number)
        known = tuple(
            WaveRow(
                number=wave.number,
                state=wave.state,
                opened_at=wave.opened_at,
                ended_at=wave.ended_at,
                soak_since=wave.soak_since,
                approved_by=wave.approved_by,
                decided_by=wave.decided_by,
                reason=wave.reason,
                evidence=wave.evidence,
                counts=by_wave.get((row["id"], wave.number), {}),
            )
            for wave in connection.execute(query)
        )
        undone = select(table.c.number).where(table.c.id == row["way_back_of"])
        ways_back = select(table.c.number).where(table.c.way_back_of == row["id"]).order_by(table.c.number)
        return RolloutDetail(
            rollout=_read(row, by_wave),
            waves=known,
            hosts=_hosts(connection, row["id"]),
            undoes=connection.execute(undone).scalar(),
            undone_by=tuple(connection.execute(ways_back).scalars()),
        )


def rollout_number(db: Database, id: UUID) -> int:
    """Return the number of a rollout; raises NotFound."""
    with db.reading() as connection:
        number: int = _find(connection, id)["number"]
        return number


def rollouts(db: Database, page: PageRequest = FIRST) -> Page[RolloutRow]:
    """Return rollouts, newest first."""
    with db.reading() as connection:
        found = page_of(connection, select(table), table.c.id, page, lambda row: row)
        counts = _counts(connection, [row["id"] for row in found.items])
        return Page(items=tuple(_read(row, counts) for row in found.items), next=found.next)


def progress(db: Database, rollout_id: UUID) -> list[ProgressRow]:
    """Return how far the live hosts of a rollout are, by host name."""
    told = progress_table.c
    query = (
        select(commands.c.id.label("command_id"), commands.c.host_id, hosts.c.name.label("host"), commands.c.state)
        .add_columns(told.container, told.phase, told.bytes, told.total, told.mirror, told.at)
        .join(hosts, hosts.c.id == commands.c.host_id)
        .outerjoin(progress_table, told.command_id == commands.c.id)
        .where(commands.c.rollout_id == rollout_id, commands.c.ended_at.is_(None))
        .order_by(hosts.c.name)
    )
    with db.reading() as connection:
        return [_progress(dict(row)) for row in connection.execute(query).mappings()]


def _progress(row: dict[str, Any]) -> ProgressRow:
    """Read a row, whose columns of ``progress`` are null where nothing was told yet."""
    if row["phase"] is None:
        row |= {"container": "", "phase": "", "bytes": 0, "total": 0, "mirror": ""}
    return ProgressRow(**row)


_Counts = dict[tuple[UUID, int], dict[HostState, int]]
"""By rollout and wave: how many hosts are in which state."""


def _counts(connection: Connection, ids: Iterable[UUID]) -> _Counts:
    key = (rollout_hosts.c.rollout_id, rollout_hosts.c.wave, rollout_hosts.c.state)
    query = select(*key, func.count().label("hosts")).where(rollout_hosts.c.rollout_id.in_(list(ids))).group_by(*key)
    found: _Counts = {}
    for row in connection.execute(query):
        found.setdefault((row.rollout_id, row.wave), {})[row.state] = row.hosts
    return found


def _find(connection: Connection, wanted: UUID | int | str) -> RowMapping:
    number = str(wanted).removeprefix("#") if not isinstance(wanted, UUID) else ""
    if number.isascii() and number.isdigit() and len(number) <= _LONGEST_NUMBER:
        row = connection.execute(select(table).where(table.c.number == int(number))).mappings().one_or_none()
        if row is not None:
            return row
    if isinstance(wanted, int):
        raise not_found("rollout", f"#{wanted}")
    return find(connection, table, wanted, what="rollout")


def _read(row: RowMapping, by_wave: _Counts) -> RolloutRow:
    counts: dict[HostState, int] = {}
    for (rollout_id, _), of_wave in by_wave.items():
        if rollout_id == row["id"]:
            for state, hosts_in_it in of_wave.items():
                counts[state] = counts.get(state, 0) + hosts_in_it
    read = {"spec": RolloutSpec.parse(row["spec"]), "holds": frozenset(Hold(hold) for hold in row["holds"])}
    return RolloutRow(**{**row, **read}, counts=counts)


def _hosts(connection: Connection, rollout_id: UUID) -> tuple[RolloutHostRow, ...]:
    columns = [column for column in rollout_hosts.c if column.name not in ("rollout_id", "look_at")]
    query = (
        select(*columns, hosts.c.name.label("host"))
        .join(hosts, hosts.c.id == rollout_hosts.c.host_id)
        .where(rollout_hosts.c.rollout_id == rollout_id)
        .order_by(rollout_hosts.c.wave, rollout_hosts.c.position)
    )
    rows = [dict(row) for row in connection.execute(query).mappings()]
    pins = pins_of(connection, rollout_id, {row["shape"] for row in rows} - {None})
    for row in rows:
        row["targets"] = whole(pins, row.pop("shape"), row["targets"])
    return tuple(RolloutHostRow(**row) for row in rows)
