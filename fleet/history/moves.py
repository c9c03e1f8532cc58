"""How commands, and hosts in rollouts, change their state: rows are read and locked, moved, and written back at once.

Locks are taken in one order, so that no two wait for each other: rollouts, commands by id, hosts in rollouts.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Connection, Select, bindparam, insert, select, tuple_, update

from fleet.history.fact_tables import commands, rollout_events
from fleet.history.rollout_tables import rollout_hosts
from fleet.ids import new_id
from fleet.rollouts.states import CommandState, HostState

T = TypeVar("T")

MOST_NAMED = 10_000
"""How many rows one statement names: drivers take some ten thousand values at most, and hosts may name more at once."""


@dataclass(slots=True, kw_only=True)
class Command:
    """The working copy of one row of ``commands``; :func:`save_commands` writes it back."""

    id: UUID
    host_id: UUID
    rollout_id: UUID
    asked_by: str
    state: CommandState
    order: dict[str, Any]
    targets: int
    sent: int
    reason: str
    created_at: datetime
    changed_at: datetime
    sent_at: datetime | None
    due_at: datetime | None
    deadline: datetime | None
    ended_at: datetime | None
    life: UUID | None = None
    """The life of the agent that claimed it, and that alone may take it; None: any."""
    touched: bool = False
    """Whether it differs from its row."""

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
            self.life, self.touched = life, True

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
    targets: tuple[dict[str, Any], ...]
    tries: int
    command_id: UUID | None
    reason: str
    not_before: datetime | None
    changed_at: datetime
    failure: str | None = None
    """Whose fault the latest failed try is; None: none failed."""
    parked_at: datetime | None = None
    events: list[dict[str, Any]] = field(default_factory=list)

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


def commands_by_id(connection: Connection, ids: Collection[UUID]) -> dict[UUID, Command]:
    """Return the commands with these ids, locked."""
    found: dict[UUID, Command] = {}
    for some in pieces(sorted(ids)):
        query = select(commands).where(commands.c.id.in_(some)).order_by(commands.c.id).with_for_update()
        found |= load_commands(connection, query)
    return found


def load_commands(connection: Connection, query: Select[Any]) -> dict[UUID, Command]:
    """Return the commands that *query* selects and locks."""
    result = connection.execute(query)
    names = tuple(result.keys())
    # A mapping of each row makes its names anew, which costs as much as reading it.
    loaded = (Command(**dict(zip(names, row, strict=True))) for row in result)
    return {command.id: command for command in loaded}


def hosts_of(connection: Connection, of: Iterable[Command]) -> dict[tuple[UUID, UUID], HostTry]:
    """Return the hosts in rollouts that these commands are for, locked, by rollout and host."""
    key = tuple_(rollout_hosts.c.rollout_id, rollout_hosts.c.host_id)
    found: dict[tuple[UUID, UUID], HostTry] = {}
    for some in pieces(sorted({(command.rollout_id, command.host_id) for command in of})):
        found |= load_hosts(connection, select(rollout_hosts).where(key.in_(some)))
    return found


def load_hosts(connection: Connection, query: Select[Any]) -> dict[tuple[UUID, UUID], HostTry]:
    """Return the hosts in rollouts that *query* selects, locked."""
    query = query.order_by(rollout_hosts.c.rollout_id, rollout_hosts.c.host_id).with_for_update()
    result = connection.execute(query)
    names = tuple(result.keys())
    loaded = (HostTry(**dict(zip(names, row, strict=True))) for row in result)
    return {(host.rollout_id, host.host_id): host for host in loaded}


def pieces(names: Sequence[T]) -> Iterator[Sequence[T]]:
    """Return *names* in pieces that one statement can hold."""
    for begin in range(0, len(names), MOST_NAMED):
        yield names[begin : begin + MOST_NAMED]


_COMMAND_COLUMNS = ("state", "sent", "reason", "changed_at", "sent_at", "due_at", "deadline", "ended_at", "life")
_HOST_COLUMNS = ("state", "tries", "command_id", "reason", "not_before", "changed_at", "failure", "parked_at")


def save_commands(connection: Connection, loaded: Iterable[Command]) -> None:
    """Write back the commands that were touched."""
    rows = [
        {"the_id": each.id} | {f"new_{name}": getattr(each, name) for name in _COMMAND_COLUMNS}
        for each in loaded
        if each.touched
    ]
    if rows:
        values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in _COMMAND_COLUMNS}
        connection.execute(update(commands).where(commands.c.id == bindparam("the_id")).values(values), rows)


def save_hosts(connection: Connection, loaded: Iterable[HostTry]) -> None:
    """Write back the hosts that were moved, with their events."""
    moved = [each for each in loaded if each.events]
    if not moved:
        return
    values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in _HOST_COLUMNS}
    mine = (rollout_hosts.c.rollout_id == bindparam("the_rollout"), rollout_hosts.c.host_id == bindparam("the_host"))
    rows = [
        {"the_rollout": each.rollout_id, "the_host": each.host_id}
        | {f"new_{name}": getattr(each, name) for name in _HOST_COLUMNS}
        for each in moved
    ]
    connection.execute(update(rollout_hosts).where(*mine).values(values), rows)
    connection.execute(insert(rollout_events), [each for host in moved for each in host.events])
