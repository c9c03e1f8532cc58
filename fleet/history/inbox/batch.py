"""A batch of messages while it is taken: what is known about what they name, and what shall be written in the end."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Self
from uuid import UUID

from sqlalchemy import Connection, and_, func, select, update

from fleet.history.commands import parked
from fleet.history.commands.lives import LIVES, Lives, save_lives
from fleet.history.commands.moves import Command, HostTry, commands_by_id, hosts_of, save_commands, save_hosts
from fleet.history.noted.counting import CheckedBy, CheckOutcome, Tally
from fleet.history.noted.outgoing import post_all, posted, receipts
from fleet.history.rollouts.regressing import perhaps_regressed, regress
from fleet.history.rollouts.settling import Told, settle, told_by
from fleet.history.sql.among import among
from fleet.history.sql.upsert import insert_first, insert_new, insert_or_update, update_rows
from fleet.history.tables.facts import attempts, pulls, updates
from fleet.history.tables.inventory import hosts, rekeys
from fleet.history.tables.road import messages as taken_messages
from fleet.history.tables.road import progress
from fleet.history.tables.rollouts import rollouts
from fleet.road.messages import Cancel, Claim, Heartbeat, Outcome, Progress, Ready, Up
from fleet.road.versions import Message
from fleet.rollouts.spec import RolloutSpec

HEARD_ANEW = timedelta(seconds=10)
"""When a host was heard of is written down again after so long: one that is updated says some words in a second."""

MOST_CLAIMS = 100
"""How many commands of one heartbeat are looked at."""

MOST_CANCELS = 20
"""How many commands one host is told to forget by one batch: what it names besides, its next heartbeat names again."""


class Unusable(Exception):
    """A message that was proved, and whose content cannot be used; its text says why."""


@dataclass(slots=True, kw_only=True)
class Sender:
    """What is known of a host of the fleet that sent something."""

    snapshot_hash: str
    """Of the snapshot that the centre has."""
    seen: datetime | None
    """When it was last heard of before."""
    lives: Lives
    """Which agents have spoken as it."""
    new_key: str | None
    """The key that is to replace its own, until it was heard."""
    engine_id: str = ""
    """The engine that it told of last."""
    engine_since: datetime | None = None
    """Since when; None: since before that was kept."""
    heard: bool = False
    """Whether this batch heard of it."""

    def tell_engine(self, id: str, now: datetime) -> None:
        """Note the engine that it tells of; one that tells of none, since it cannot ask it, still has that of before."""
        if id and id != self.engine_id:
            self.engine_id, self.engine_since = id, now


@dataclass(slots=True, kw_only=True)
class Batch:
    """What is known, and what shall be written."""

    connection: Connection
    now: datetime
    senders: dict[UUID, Sender]
    """Those that are hosts of the fleet."""
    repeated: Sequence[bool]
    """Of each message, whether it was taken before."""
    commands: dict[UUID, Command]
    tries: dict[tuple[UUID, UUID], HostTry]
    specs: dict[UUID, RolloutSpec]
    settle: dict[UUID, Command] = field(default_factory=dict)
    """Commands that got an outcome."""
    shown: set[UUID] = field(default_factory=set)
    """Hosts whose snapshot has come, whole."""
    hosts: dict[UUID, dict[str, Any]] = field(default_factory=dict)
    """Columns of hosts that heartbeats set."""
    pulls: list[dict[str, Any]] = field(default_factory=list)
    attempts: list[dict[str, Any]] = field(default_factory=list)
    updates: list[dict[str, Any]] = field(default_factory=list)
    receipts: dict[UUID, list[str]] = field(default_factory=dict)
    """By host: the ids of outcomes that are confirmed to it."""
    outbox: list[dict[str, Any]] = field(default_factory=list)
    progress: dict[UUID, dict[str, Any]] = field(default_factory=dict)
    cancelled: dict[UUID, int] = field(default_factory=dict)
    """How many commands each host was told to forget."""
    wanted: dict[UUID, Mapping[str, tuple[str, str]]] = field(default_factory=dict)
    """By command of which pulls were told: image and digest of each pull that it named."""
    checks: list[tuple[str, CheckOutcome]] = field(default_factory=list)
    """Images that hosts were asked to resolve, and what came of each."""

    @classmethod
    def load(cls, connection: Connection, messages: Sequence[tuple[UUID, UUID, Up, datetime]], now: datetime) -> Self:
        """Read, and lock, what *messages* name; they are each id, host, message and time."""
        named, told, moving = _named_by(messages)
        commands = commands_by_id(connection, named, with_orders=told)
        return cls(
            connection=connection,
            now=now,
            senders=senders(connection, {host for _, host, _, _ in messages}),
            repeated=_spend(connection, messages),
            commands=commands,
            tries=hosts_of(connection, _those_of(commands, named, moving)),
            specs=_specs(connection, {each.rollout_id for each in commands.values()}),
        )

    def hear(self, host_id: UUID) -> Sender:
        """Note that the host lives, and return what is known of it; raises Unusable where it is none of the fleet's."""
        sender = self.senders.get(host_id)
        if sender is None:
            raise Unusable("cannot take it: its host was removed")
        sender.heard = True
        return sender

    def command(self, host_id: UUID, id: UUID) -> Command | None:
        """Return a command of this host; None where there is none with this id, or it is another host's."""
        found = self.commands.get(id)
        return found if found is not None and found.host_id == host_id else None

    def post(self, host_id: UUID, message: Message) -> None:
        """Let the next tick send *message* to the host."""
        self.outbox.append(posted(host_id, message, self.now))

    def cancel(self, host_id: UUID, command: UUID, reason: str) -> None:
        """Let the host forget a command; a few at a time, or a host that names any would have the centre sign without end."""
        self.cancelled[host_id] = self.cancelled.get(host_id, 0) + 1
        if self.cancelled[host_id] > MOST_CANCELS:
            return
        self.post(host_id, Cancel(command=command, reason=reason))

    def write(self) -> None:
        """Write everything; rows that are there already stay as they are."""
        tally = Tally()
        for image, outcome in self.checks:
            tally.add_check(image, outcome, CheckedBy.HOST)
        tally.add_pulls(insert_first(self.connection, pulls, self.pulls, "id"), self.attempts)
        insert_new(self.connection, attempts, self.attempts, ("pull_id", "seq"))
        settled = list(self.settle.values())
        settle(self.connection, settled, self.tries, self.specs, self.now, self._write_updates(tally))
        save_commands(self.connection, self.commands.values())
        save_hosts(self.connection, self.tries.values())
        # An outcome may come after the snapshot that shows what became of it.
        regress(self.connection, self.shown | perhaps_regressed(self.connection, settled), self.now)
        self._write_hosts()
        insert_or_update(self.connection, progress, list(self.progress.values()), ("command_id",))
        confirmed = [row for host_id, ids in self.receipts.items() for row in receipts(host_id, ids, self.now)]
        post_all(self.connection, [*self.outbox, *confirmed])
        tally.write(self.connection)

    def _write_updates(self, tally: Tally) -> dict[UUID, Told]:
        """Write the updates, each with the mirror of its pull, which may have come with an earlier message; count what is new.

        Return what the rows of those tell that were not there before.
        """
        ids = {row["pull_id"] for row in self.updates if row["pull_id"]}
        query = select(pulls.c.id, pulls.c.mirror, pulls.c.ok).where(among(self.connection, pulls.c.id, ids))
        made = {id: (mirror, ok) for id, mirror, ok in self.connection.execute(query)} if ids else {}
        succeeded: dict[int, bool | None] = {}
        for row in self.updates:
            row["mirror"], succeeded[id(row)] = made.get(row["pull_id"], ("", None))
        new = insert_first(self.connection, updates, self.updates, "id")
        tally.add_updates(new)
        return {row["id"]: told_by(row, succeeded[id(row)]) for row in new}

    def _write_hosts(self) -> None:
        save_lives(self.connection, {id: each.lives for id, each in self.senders.items() if each.lives.touched})
        heard = [id for id, each in self.senders.items() if each.heard and not self._heard_just_now(each)]
        if heard:
            these = update(hosts).where(among(self.connection, hosts.c.id, heard))
            joined = func.coalesce(hosts.c.joined_at, self.now)
            self.connection.execute(these.values(last_seen_at=self.now, joined_at=joined))
            parked.tell(self.connection, heard, self.now)
        if self.hosts:
            rows = [{"id": id} | values for id, values in sorted(self.hosts.items())]
            update_rows(self.connection, hosts, rows, ("id",), [name for name in rows[0] if name != "id"])

    def _heard_just_now(self, sender: Sender) -> bool:
        return sender.seen is not None and timedelta() <= self.now - sender.seen < HEARD_ANEW


def _named_by(messages: Sequence[tuple[UUID, UUID, Up, datetime]]) -> tuple[set[UUID], set[UUID], set[UUID]]:
    """Return the commands that *messages* name, of these those whose orders are needed, and those whose hosts may move on.

    A claim moves a command by its state alone; its order is long, and its host stands still.
    """
    named: set[UUID] = set()
    told: set[UUID] = set()
    ready: set[UUID] = set()
    for _, _, message, _ in messages:
        match message:
            case Ready() | Outcome():
                told.add(message.command)
            case Claim() | Progress():
                named.add(message.command)
            case Heartbeat():
                named.update(message.claims[:MOST_CLAIMS])
                ready.update(message.ready[:MOST_CLAIMS])
    return named | told | ready, told, told | ready


def _those_of(commands: dict[UUID, Command], named: set[UUID], ids: set[UUID]) -> Iterable[Command]:
    """Return those of *commands*, which were *named*, that are among *ids*."""
    return commands.values() if len(ids) == len(named) else [commands[id] for id in ids if id in commands]


def _spend(connection: Connection, messages: Sequence[tuple[UUID, UUID, Up, datetime]]) -> Sequence[bool]:
    """Spend the ids of *messages*; tell of each whether it was spent before."""
    rows = [{"id": jti, "host_id": host_id, "received_at": received} for jti, host_id, _, received in messages]
    new = insert_first(connection, taken_messages, rows, "id")
    if len(new) == len(rows):
        return [False] * len(rows)
    # The very row that was inserted: of a message that comes twice in one batch the first is new.
    first = set(map(id, new))
    return [id(row) not in first for row in rows]


def senders(connection: Connection, ids: Collection[UUID]) -> dict[UUID, Sender]:
    """Return those of *ids* that are hosts of the fleet."""
    unheard = and_(rekeys.c.host_id == hosts.c.id, rekeys.c.heard_at.is_(None))
    h = hosts.c
    told = (h.id, h.snapshot_hash, h.last_seen_at, rekeys.c.kid, h.engine_id, h.engine_since, *LIVES)
    query = select(*told).outerjoin(rekeys, unheard)
    query = query.where(among(connection, hosts.c.id, ids), hosts.c.removed_at.is_(None))
    return {
        id: Sender(
            snapshot_hash=hash,
            seen=seen,
            new_key=key,
            lives=Lives(known=known or (), since=since, rivals_at=rivals_at),
            engine_id=engine,
            engine_since=engine_since,
        )
        for id, hash, seen, key, engine, engine_since, known, since, rivals_at in connection.execute(query).all()
    }


def _specs(connection: Connection, ids: Collection[UUID]) -> dict[UUID, RolloutSpec]:
    if not ids:
        return {}
    rows = connection.execute(select(rollouts.c.id, rollouts.c.spec).where(rollouts.c.id.in_(ids)))
    return {id: RolloutSpec.parse(spec) for id, spec in rows}
