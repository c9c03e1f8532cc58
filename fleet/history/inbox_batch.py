"""A batch of messages while it is taken: what is known about what they name, and what shall be written in the end."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Self
from uuid import UUID

from sqlalchemy import Connection, and_, func, select, update

from fleet.history import parked
from fleet.history.among import among
from fleet.history.counting import CheckedBy, CheckOutcome, Tally
from fleet.history.fact_tables import attempts, pulls, updates
from fleet.history.inventory_tables import hosts, rekeys
from fleet.history.lives import LIVES, Lives, lives_of, save_lives
from fleet.history.moves import Command, HostTry, commands_by_id, hosts_of, save_commands, save_hosts
from fleet.history.outgoing import post_all, posted, receipts
from fleet.history.regressing import perhaps_regressed, regress
from fleet.history.road_tables import messages as taken_messages
from fleet.history.road_tables import progress
from fleet.history.rollout_tables import rollouts
from fleet.history.settling import Told, settle, told_by
from fleet.history.upsert import insert_new, insert_or_update, update_rows
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
class Batch:
    """What is known, and what shall be written."""

    connection: Connection
    now: datetime
    hashes: dict[UUID, str]
    """Of those senders that are hosts of the fleet: the hash of the snapshot that the centre has."""
    seen: dict[UUID, datetime | None]
    """Of the same: when each was last heard of before."""
    fresh: frozenset[UUID]
    """The ids of messages that were not taken before."""
    commands: dict[UUID, Command]
    tries: dict[tuple[UUID, UUID], HostTry]
    specs: dict[UUID, RolloutSpec]
    heard: set[UUID] = field(default_factory=set)
    settle: set[UUID] = field(default_factory=set)
    """Commands that got an outcome."""
    shown: set[UUID] = field(default_factory=set)
    """Hosts whose snapshot has come, whole."""
    hosts: dict[UUID, dict[str, Any]] = field(default_factory=dict)
    """Columns of hosts that heartbeats set."""
    pulls: list[dict[str, Any]] = field(default_factory=list)
    attempts: list[dict[str, Any]] = field(default_factory=list)
    updates: list[dict[str, Any]] = field(default_factory=list)
    receipts: dict[UUID, list[UUID]] = field(default_factory=dict)
    outbox: list[dict[str, Any]] = field(default_factory=list)
    progress: dict[UUID, dict[str, Any]] = field(default_factory=dict)
    cancelled: dict[UUID, int] = field(default_factory=dict)
    """How many commands each host was told to forget."""
    checks: list[tuple[str, CheckOutcome]] = field(default_factory=list)
    """Images that hosts were asked to resolve, and what came of each."""
    rekeys: dict[UUID, str] = field(default_factory=dict)
    """Of those senders whose key is being replaced: the new key, until it was heard."""
    lives: dict[UUID, Lives] = field(default_factory=dict)
    """Of those senders that are hosts of the fleet: which agents have spoken as each."""

    @classmethod
    def load(cls, connection: Connection, messages: Sequence[tuple[UUID, UUID, Up, datetime]], now: datetime) -> Self:
        """Read, and lock, what *messages* name; they are each id, host, message and time."""
        named = {id for _, _, message, _ in messages for id in _named(message)}
        # A claim moves a command by its state alone; its order is long, and its host stands still.
        told = {message.command for _, _, message, _ in messages if isinstance(message, Ready | Outcome)}
        commands = commands_by_id(connection, named, with_orders=told)
        known = _senders(connection, {host for _, host, _, _ in messages})
        return cls(
            connection=connection,
            now=now,
            hashes={row.id: row.snapshot_hash for row in known},
            seen={row.id: row.last_seen_at for row in known},
            rekeys={row.id: row.kid for row in known if row.kid is not None},
            lives={row.id: lives_of(row) for row in known},
            fresh=_fresh(connection, messages),
            commands=commands,
            tries=hosts_of(connection, (commands[id] for id in _moving(messages) if id in commands)),
            specs=_specs(connection, {each.rollout_id for each in commands.values()}),
        )

    @staticmethod
    def known_hosts(connection: Connection, ids: Collection[UUID]) -> dict[UUID, str]:
        """Return those of *ids* that are hosts of the fleet, each with the hash of its snapshot."""
        return {row.id: row.snapshot_hash for row in _senders(connection, ids)}

    def hear(self, host_id: UUID) -> None:
        """Note that the host lives; raises Unusable where it is none of the fleet's."""
        if host_id not in self.hashes:
            raise Unusable("cannot take it: its host was removed")
        self.heard.add(host_id)

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
        tally = Tally.of_new(self.connection, outcomes=self.updates, pulled=self.pulls, tried=self.attempts)
        for image, outcome in self.checks:
            tally.add_check(image, outcome, CheckedBy.HOST)
        insert_new(self.connection, pulls, self.pulls, ("id",))
        insert_new(self.connection, attempts, self.attempts, ("pull_id", "seq"))
        written = self._write_updates()
        settle(self.connection, [self.commands[id] for id in self.settle], self.tries, self.specs, self.now, written)
        save_commands(self.connection, self.commands.values())
        save_hosts(self.connection, self.tries.values())
        # An outcome may come after the snapshot that shows what became of it.
        settled = [self.commands[id] for id in self.settle]
        regress(self.connection, self.shown | perhaps_regressed(self.connection, settled), self.now)
        self._write_hosts()
        insert_or_update(self.connection, progress, list(self.progress.values()), ("command_id",))
        confirmed = [row for host_id, ids in self.receipts.items() for row in receipts(host_id, ids, self.now)]
        post_all(self.connection, [*self.outbox, *confirmed])
        tally.write(self.connection)

    def _write_updates(self) -> dict[UUID, Told]:
        """Write the updates, each with the mirror of its pull, which may have come with an earlier message.

        Return what their rows tell, where none of them was there before.
        """
        ids = {row["pull_id"] for row in self.updates if row["pull_id"]}
        query = select(pulls.c.id, pulls.c.mirror, pulls.c.ok).where(among(self.connection, pulls.c.id, ids))
        made = {row.id: row for row in self.connection.execute(query).all()} if ids else {}
        for row in self.updates:
            row["mirror"] = made[row["pull_id"]].mirror if row["pull_id"] in made else ""
        if insert_new(self.connection, updates, self.updates, ("id",)) < len(self.updates):
            return {}
        return {row["id"]: told_by(row, getattr(made.get(row["pull_id"]), "ok", None)) for row in self.updates}

    def _write_hosts(self) -> None:
        save_lives(self.connection, self.lives)
        heard = [id for id in self.heard if not self._heard_just_now(id)]
        if heard:
            these = update(hosts).where(among(self.connection, hosts.c.id, heard))
            joined = func.coalesce(hosts.c.joined_at, self.now)
            self.connection.execute(these.values(last_seen_at=self.now, joined_at=joined))
            parked.tell(self.connection, heard, self.now)
        if self.hosts:
            rows = [{"id": id} | values for id, values in sorted(self.hosts.items())]
            update_rows(self.connection, hosts, rows, ("id",), [name for name in rows[0] if name != "id"])

    def _heard_just_now(self, id: UUID) -> bool:
        seen = self.seen[id]
        return seen is not None and timedelta() <= self.now - seen < HEARD_ANEW


def _named(message: Up) -> Iterable[UUID]:
    """Return the commands that a message names."""
    match message:
        case Claim() | Ready() | Outcome() | Progress():
            return (message.command,)
        case Heartbeat():
            return (*message.claims[:MOST_CLAIMS], *message.ready[:MOST_CLAIMS])
        case _:
            return ()


def _moving(messages: Sequence[tuple[UUID, UUID, Up, datetime]]) -> set[UUID]:
    """Return the commands whose hosts *messages* may move on."""
    found: set[UUID] = set()
    for _, _, message, _ in messages:
        match message:
            case Ready() | Outcome():
                found.add(message.command)
            case Heartbeat():
                found.update(message.ready[:MOST_CLAIMS])
    return found


def _fresh(connection: Connection, messages: Sequence[tuple[UUID, UUID, Up, datetime]]) -> frozenset[UUID]:
    """Spend the ids of *messages*, and return those that were not spent before."""
    known = among(connection, taken_messages.c.id, (id for id, _, _, _ in messages))
    spent = set(connection.execute(select(taken_messages.c.id).where(known)).scalars().all())
    rows = {
        id: {"id": id, "host_id": host_id, "received_at": received}
        for id, host_id, _, received in messages
        if id not in spent
    }
    insert_new(connection, taken_messages, list(rows.values()), ("id",))
    return frozenset(rows)


def _senders(connection: Connection, ids: Collection[UUID]) -> Sequence[Any]:
    """Return what is known of those of *ids* that are hosts of the fleet, with the new key of one that is awaited."""
    unheard = and_(rekeys.c.host_id == hosts.c.id, rekeys.c.heard_at.is_(None))
    told = (hosts.c.id, hosts.c.snapshot_hash, hosts.c.last_seen_at, *LIVES, rekeys.c.kid)
    query = select(*told).outerjoin(rekeys, unheard)
    return connection.execute(query.where(among(connection, hosts.c.id, ids), hosts.c.removed_at.is_(None))).all()


def _specs(connection: Connection, ids: Collection[UUID]) -> dict[UUID, RolloutSpec]:
    if not ids:
        return {}
    rows = connection.execute(select(rollouts.c.id, rollouts.c.spec).where(rollouts.c.id.in_(ids)))
    return {id: RolloutSpec.parse(spec) for id, spec in rows}
