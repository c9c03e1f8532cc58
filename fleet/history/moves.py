"""How commands, and hosts in rollouts, change their state: rows are read and locked, moved, and written back at once.

Locks are taken in one order, so that no two wait for each other: rollouts, commands by id, hosts in rollouts.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Select, Update, bindparam, case, select, update

from fleet.history.among import among, in_order
from fleet.history.fact_tables import commands, rollout_events
from fleet.history.rollout_tables import rollout_hosts
from fleet.history.upsert import insert_rows
from fleet.ids import new_id
from fleet.rollouts.states import CommandState, HostState

T = TypeVar("T")

_TOGETHER = 3
"""From so many rows on that change alike, they are changed by one statement: what it costs to make one is that of some rows."""


@dataclass(slots=True, kw_only=True)
class Command:
    """The working copy of one row of ``commands``; :func:`save_commands` writes it back."""

    id: UUID
    host_id: UUID
    rollout_id: UUID
    asked_by: str
    state: CommandState
    targets: int
    sent: int
    reason: str
    created_at: datetime
    changed_at: datetime
    sent_at: datetime | None
    due_at: datetime | None
    deadline: datetime | None
    ended_at: datetime | None
    order: dict[str, Any] = field(default_factory=dict)
    """Empty where it was not asked for."""
    life: UUID | None = None
    """The life of the agent that claimed it, and that alone may take it; None: any."""
    touched: bool = False
    """Whether it differs from its row."""
    bound: bool = False
    """Whether its life differs from that of its row."""

    def move(
        self,
        state: CommandState,
        now: datetime,
        *,
        deadline: datetime | None = None,
        due_at: datetime | None = None,
        reason: str = "",
    ) -> None:
        """Change the state; counting of what was sent begins anew."""
        self.state, self.changed_at, self.deadline, self.due_at, self.reason = state, now, deadline, due_at, reason
        self.sent, self.touched = 0, True
        self.ended_at = now if state.ended else None

    def bind(self, life: UUID | None) -> None:
        """Let *life* alone take it from now on; None changes nothing."""
        if life is not None and life != self.life:
            self.life, self.touched, self.bound = life, True, True

    def due(self, at: datetime | None) -> None:
        """Say when its next message is due."""
        self.due_at, self.touched = at, True


@dataclass(slots=True, kw_only=True)
class HostTry:
    """The working copy of one row of ``rollout_hosts``; :func:`save_hosts` writes it back, with events."""

    rollout_id: UUID
    host_id: UUID
    wave: int
    position: int
    state: HostState
    tries: int
    command_id: UUID | None
    reason: str
    not_before: datetime | None
    changed_at: datetime
    failure: str | None = None
    """Whose fault the latest failed try is; None: none failed."""
    parked_at: datetime | None = None
    targets: tuple[dict[str, Any], ...] = ()
    """Empty where they were not asked for."""
    given: bool = False
    """Whether its command differs from that of its row."""
    events: list[dict[str, Any]] = field(default_factory=list)

    def give(self, command_id: UUID) -> None:
        """Let a new command be its latest."""
        self.command_id, self.given = command_id, True

    def move(self, state: HostState, now: datetime, *, reason: str = "") -> None:
        """Change the state, and write an event about it."""
        self.state, self.changed_at, self.reason = state, now, reason
        details = {"state": state.value, "tries": self.tries}
        details |= {"reason": reason} if reason else {}
        details |= {"command": self.command_id.hex} if self.command_id else {}
        self.events.append(event("host", self.rollout_id, now, host_id=self.host_id, details=details))


def event(
    kind: str, rollout_id: UUID, now: datetime, *, host_id: UUID | None = None, details: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return a row of ``rollout_events``."""
    return {
        "id": new_id(),
        "rollout_id": rollout_id,
        "host_id": host_id,
        "kind": kind,
        "details": dict(details or {}),
        "at": now,
    }


def commands_by_id(
    connection: Connection, ids: Collection[UUID], *, with_orders: Collection[UUID] = ()
) -> dict[UUID, Command]:
    """Return the commands with these ids, locked; with their orders those alone that are asked for with them."""
    if not ids:
        return {}
    columns = list(_ALL_BUT_ORDER)
    if with_orders:
        columns.append(case((among(connection, commands.c.id, with_orders), commands.c.order)).label("order"))
    query = select(*columns).where(among(connection, commands.c.id, ids)).order_by(commands.c.id)
    return load_commands(connection, query.with_for_update())


def load_commands(connection: Connection, query: Select[Any]) -> dict[UUID, Command]:
    """Return the commands that *query* selects and locks."""
    result = connection.execute(query)
    names = tuple(result.keys())
    # A mapping of each row makes its names anew, which costs as much as reading it.
    loaded = [Command(**dict(zip(names, row, strict=True))) for row in result]
    for command in loaded:
        command.order = command.order or {}
    return {command.id: command for command in loaded}


def hosts_of(connection: Connection, of: Iterable[Command]) -> dict[tuple[UUID, UUID], HostTry]:
    """Return the hosts in rollouts that these commands are for, locked, without targets, by rollout and host."""
    named: dict[UUID, set[UUID]] = defaultdict(set)
    for command in of:
        named[command.rollout_id].add(command.host_id)
    found: dict[tuple[UUID, UUID], HostTry] = {}
    for rollout_id in in_order(named):
        mine = (rollout_hosts.c.rollout_id == rollout_id, among(connection, rollout_hosts.c.host_id, named[rollout_id]))
        found |= load_hosts(connection, select(*_ALL_BUT_TARGETS).where(*mine))
    return found


def load_hosts(connection: Connection, query: Select[Any]) -> dict[tuple[UUID, UUID], HostTry]:
    """Return the hosts in rollouts that *query* selects, locked."""
    query = query.order_by(rollout_hosts.c.rollout_id, rollout_hosts.c.host_id).with_for_update()
    result = connection.execute(query)
    names = tuple(result.keys())
    loaded = (HostTry(**dict(zip(names, row, strict=True))) for row in result)
    return {(host.rollout_id, host.host_id): host for host in loaded}


_ALL_BUT_ORDER: list[ColumnElement[Any]] = [column for column in commands.c if column.name != "order"]
_ALL_BUT_TARGETS = [column for column in rollout_hosts.c if column.name != "targets"]

_COMMAND_COLUMNS = ("state", "sent", "reason", "changed_at", "due_at", "deadline", "ended_at")
_HOST_COLUMNS = ("state", "tries", "reason", "not_before", "changed_at", "failure", "parked_at")


def save_commands(connection: Connection, loaded: Iterable[Command]) -> None:
    """Write back the commands that were touched."""
    touched = [each for each in loaded if each.touched]
    alike, alone = _parted((each for each in touched if not each.bound), _COMMAND_COLUMNS)
    for some in alike:
        these = update(commands).where(among(connection, commands.c.id, (each.id for each in some)))
        _set(connection, these, some[0], _COMMAND_COLUMNS)
    one = update(commands).where(commands.c.id == bindparam("the_id"))
    alone += [each for each in touched if each.bound]
    _set_each(connection, one, [({"the_id": each.id}, each) for each in alone], (*_COMMAND_COLUMNS, "life"))


def save_hosts(connection: Connection, loaded: Iterable[HostTry]) -> None:
    """Write back the hosts that were moved, with their events."""
    moved = [each for each in loaded if each.events]
    if not moved:
        return
    c = rollout_hosts.c
    alike, alone = _parted((each for each in moved if not each.given), ("rollout_id", *_HOST_COLUMNS))
    for some in alike:
        there = among(connection, c.host_id, (each.host_id for each in some))
        these = update(rollout_hosts).where(c.rollout_id == some[0].rollout_id, there)
        _set(connection, these, some[0], _HOST_COLUMNS)
    one = update(rollout_hosts).where(c.rollout_id == bindparam("the_rollout"), c.host_id == bindparam("the_host"))
    alone += [each for each in moved if each.given]
    keys = ({"the_rollout": each.rollout_id, "the_host": each.host_id} for each in alone)
    _set_each(connection, one, list(zip(keys, alone, strict=True)), (*_HOST_COLUMNS, "command_id"))
    insert_rows(connection, rollout_events, [each for host in moved for each in host.events])


def _parted(loaded: Iterable[T], columns: Sequence[str]) -> tuple[list[list[T]], list[T]]:
    """Return those that change alike, where they are enough to be changed by one statement, and the others."""
    by_values: dict[object, list[T]] = defaultdict(list)
    values = attrgetter(*columns)
    for each in loaded:
        by_values[values(each)].append(each)
    alike = [some for some in by_values.values() if len(some) >= _TOGETHER]
    return alike, [each for some in by_values.values() if len(some) < _TOGETHER for each in some]


def _set(connection: Connection, statement: Update, like: object, columns: Sequence[str]) -> None:
    connection.execute(statement.values({name: getattr(like, name) for name in columns}))


def _set_each(
    connection: Connection, statement: Update, rows: Sequence[tuple[dict[str, Any], object]], columns: Sequence[str]
) -> None:
    if rows:
        told: dict[str, Any] = {name: bindparam(f"new_{name}") for name in columns}
        values = [key | {f"new_{name}": getattr(each, name) for name in columns} for key, each in rows]
        connection.execute(statement.values(told), values)
