"""How commands, and hosts in rollouts, change their state: rows are read and locked, moved, and written back at once.

Locks are taken in one order, so that no two wait for each other: rollouts, commands by id, hosts in rollouts.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Select, Text, case, cast, select

from fleet.history.commands import parked
from fleet.history.commands.pinned import pins_of, whole
from fleet.history.sql.among import among, in_order
from fleet.history.sql.json_text import of_json
from fleet.history.sql.upsert import insert_rows, update_rows
from fleet.history.tables.facts import commands, rollout_events
from fleet.history.tables.rollouts import rollout_hosts
from fleet.ids import new_id
from fleet.rollouts.states import BAD, CommandState, HostState

_MOST_DOUBLINGS = 4
"""How often the time until a message is sent again is doubled."""


@dataclass(slots=True, kw_only=True)
class Command:
    """The working copy of one row of ``commands``; :func:`save_commands` writes it back."""

    id: UUID
    host_id: UUID
    rollout_id: UUID
    asked_by: str
    state: CommandState
    targets: int
    reason: str
    due_at: datetime | None
    deadline: datetime | None
    document: str | None = None
    """Its order as JSON, where it was asked for."""
    life: UUID | None = None
    """The life of the agent that claimed it, and that alone may take it; None: any."""
    sent: int = 0
    """How often a message was sent for it in its present state; 0 too where that was not asked for."""
    sent_at: datetime | None = None
    """When a message is sent for it now; None: none is."""
    changed_at: datetime | None = None
    """When it moved; None: it did not."""
    ended_at: datetime | None = None
    """When it moved to its end."""
    touched: bool = False
    """Whether it differs from its row."""
    bound: bool = False
    """Whether its life differs from that of its row."""
    timed: bool = False
    """Whether its deadline does."""
    parsed: dict[str, Any] | None = None
    """What :attr:`order` made of it."""

    @property
    def order(self) -> dict[str, Any]:
        """Its order; empty where it was not asked for. It is long, and most who pass it on need not look into it."""
        if self.parsed is None:
            self.parsed = of_json(self.document) if self.document else {}
        return self.parsed

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
        self.state, self.changed_at, self.due_at, self.reason = state, now, due_at, reason
        self.until(deadline)
        self.sent, self.touched = 0, True
        self.ended_at = now if state.ended else None

    def bind(self, life: UUID | None) -> None:
        """Let *life* alone take it from now on; None changes nothing."""
        if life is not None and life != self.life:
            self.life, self.touched, self.bound = life, True, True

    def until(self, deadline: datetime | None) -> None:
        """Say when its state is over."""
        if deadline != self.deadline:
            self.deadline, self.touched, self.timed = deadline, True, True

    def due(self, at: datetime | None) -> None:
        """Say when its next message is due."""
        self.due_at, self.touched = at, True

    def tell(self, now: datetime, again: timedelta) -> None:
        """Count a message that is sent now; it is due again after *again*, twice as late for each one before it."""
        self.due(_doubled(now, again, min(self.sent, _MOST_DOUBLINGS)))
        self.sent, self.sent_at = self.sent + 1, now


# Once for all of a batch: what rows hold alike is written once.
@lru_cache(maxsize=64)
def _doubled(now: datetime, wait: timedelta, times: int) -> datetime:
    return now + wait * (1 << times)


@dataclass(slots=True, kw_only=True)
class HostTry:
    """The working copy of one row of ``rollout_hosts``; :func:`save_hosts` writes it back, with events."""

    rollout_id: UUID
    host_id: UUID
    state: HostState
    tries: int
    command_id: UUID | None
    reason: str
    not_before: datetime | None
    failure: str | None = None
    """Whose fault the latest failed try is; None: none failed."""
    parked_at: datetime | None = None
    changed_at: datetime | None = None
    """When it moved; None: it did not."""
    targets: tuple[dict[str, Any], ...] = ()
    """Empty where they were not asked for."""
    shape: int | None = None
    """Which of the rollout's shapes they were made of; None: of none, or they were not asked for."""
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
    columns: list[ColumnElement[Any]] = list(STANDING)
    if set(with_orders) >= set(ids):
        columns.append(ORDER)
    elif with_orders:
        columns.append(case((among(connection, commands.c.id, with_orders), ORDER)).label(ORDER.name))
    query = select(*columns).where(among(connection, commands.c.id, ids)).order_by(commands.c.id)
    return load_commands(connection, query.with_for_update())


def load_commands(connection: Connection, query: Select[Any]) -> dict[UUID, Command]:
    """Return the commands that *query* selects and locks."""
    result = connection.execute(query)
    names = tuple(result.keys())
    # A mapping of each row makes its names anew, which costs as much as reading it.
    loaded = [Command(**dict(zip(names, row, strict=True))) for row in result.all()]
    return {command.id: command for command in loaded}


def hosts_of(connection: Connection, of: Iterable[Command]) -> dict[tuple[UUID, UUID], HostTry]:
    """Return the hosts in rollouts that these commands are for, locked, without targets, by rollout and host."""
    named: dict[UUID, set[UUID]] = defaultdict(set)
    for command in of:
        named[command.rollout_id].add(command.host_id)
    found: dict[tuple[UUID, UUID], HostTry] = {}
    for rollout_id in in_order(named):
        mine = (rollout_hosts.c.rollout_id == rollout_id, among(connection, rollout_hosts.c.host_id, named[rollout_id]))
        found |= load_hosts(connection, select(*PLACE).where(*mine))
    return found


def load_hosts(connection: Connection, query: Select[Any]) -> dict[tuple[UUID, UUID], HostTry]:
    """Return the hosts in rollouts that *query* selects, locked."""
    query = query.order_by(rollout_hosts.c.rollout_id, rollout_hosts.c.host_id).with_for_update()
    result = connection.execute(query)
    names = tuple(result.keys())
    loaded = [HostTry(**dict(zip(names, row, strict=True))) for row in result.all()]
    _make_whole(connection, [host for host in loaded if host.shape is not None])
    return {(host.rollout_id, host.host_id): host for host in loaded}


def _make_whole(connection: Connection, shaped: Sequence[HostTry]) -> None:
    numbers: dict[UUID, set[int]] = defaultdict(set)
    for host in shaped:
        numbers[host.rollout_id].add(host.shape or 0)
    pins = {id: pins_of(connection, id, some) for id, some in numbers.items()}
    for host in shaped:
        host.targets = whole(pins[host.rollout_id], host.shape, host.targets)


STANDING: tuple[ColumnElement[Any], ...] = tuple(
    commands.c[name]
    for name in ("id", "host_id", "rollout_id", "asked_by", "state", "targets", "reason", "due_at", "deadline", "life")
)
"""What is read of a command in order to move it; its order is long, and is read where it is asked for."""
ORDER = cast(commands.c.order, Text).label("document")
"""An order as the text that it is: what nobody looks into is not parsed."""
WHOLE: tuple[ColumnElement[Any], ...] = (*STANDING, ORDER)
"""The same with its order."""
PLACE: tuple[ColumnElement[Any], ...] = tuple(
    rollout_hosts.c[name]
    for name in (
        *("rollout_id", "host_id", "state", "tries", "command_id", "reason", "not_before", "failure", "parked_at"),
    )
)
"""What is read of a host in a rollout in order to move it."""
PINNED: tuple[ColumnElement[Any], ...] = (*PLACE, rollout_hosts.c.shape, rollout_hosts.c.targets)
"""The same with its targets."""

_WAITS = ("due_at",)
_TIMED = ("deadline",)
_MOVED = ("state", "reason", "changed_at", "ended_at")
_TOLD = ("sent_at",)
_BOUND = ("life",)
_HOST_MOVED = ("state", "tries", "reason", "not_before", "changed_at", "failure", "parked_at")


def save_commands(connection: Connection, loaded: Iterable[Command]) -> None:
    """Write back the commands that were touched: of each what changed, and of all that changed alike by one statement."""
    changed: dict[tuple[bool, bool, bool, bool], list[Command]] = defaultdict(list)
    for each in loaded:
        if each.touched:
            changed[each.changed_at is not None, each.sent_at is not None, each.timed, each.bound].append(each)
    for (moved, told, timed, bound), some in changed.items():
        counted = ("sent",) if moved or told else ()
        names = _WAITS + counted + _MOVED * moved + _TOLD * told + _TIMED * timed + _BOUND * bound
        update_rows(connection, commands, some, ("id",), names)


def save_hosts(connection: Connection, loaded: Iterable[HostTry]) -> None:
    """Write back the hosts that were moved, with their events."""
    moved = [each for each in loaded if each.events]
    for given in (False, True):
        some = [each for each in moved if each.given is given]
        names = (*_HOST_MOVED, "command_id") if given else _HOST_MOVED
        update_rows(connection, rollout_hosts, some, ("rollout_id", "host_id"), names)
    insert_rows(connection, rollout_events, [each for host in moved for each in host.events])
    # Where it is parked it may be in quarantine now.
    for now, failed in _failed(moved).items():
        parked.tell(connection, failed, now)


def _failed(moved: Iterable[HostTry]) -> dict[datetime, set[UUID]]:
    """Return, by when, the hosts that failed."""
    found: dict[datetime, set[UUID]] = defaultdict(set)
    for each in moved:
        if each.state in BAD and each.changed_at is not None:
            found[each.changed_at].add(each.host_id)
    return found
