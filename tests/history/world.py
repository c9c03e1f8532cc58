"""A small fleet over one database: hosts that answer as agents do, and a planner's tick, all without a broker."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, TypedDict
from uuid import UUID, uuid4

from sqlalchemy import Table, select

from fleet.history.inbox import taking as inbox
from fleet.history.inbox.taking import Good, InboxLock, Taken, TakeResult
from fleet.history.inventory import hosts
from fleet.history.registries import tags
from fleet.history.rollouts import plans, tick
from fleet.history.rollouts.tick import Outgoing
from fleet.history.rules import policies
from fleet.history.sql.database import Database
from fleet.history.tables.inventory import containers
from fleet.mirrors.attempt import Attempt, AttemptResult
from fleet.mirrors.source import Role
from fleet.road.messages import (
    Cancel,
    Claim,
    Go,
    Heartbeat,
    HostFacts,
    Offer,
    Order,
    Outcome,
    Ready,
    Receipt,
    Resolve,
    SendSnapshot,
    Snapshot,
    Up,
)
from fleet.rollouts.plan import PlanDocument, PlannedContainer, PlannedHost, PlannedHosts
from fleet.rollouts.selector import Selector
from fleet.rollouts.spec import RolloutSpec
from fleet.updates.outcome import Phases, PullOutcome, Result, Tier, UpdateOutcome
from fleet.updates.snapshot import ContainerState


class By(TypedDict):
    """Who does it, and through which door."""

    by: str
    door: str


BY: By = {"by": "person:anna", "door": "socket"}
GOOD_MIRROR = "http://good.lan"
MOST_PASSES = 8


def digest_of(text: str) -> str:
    """Return a digest that stands for *text*."""
    return f"sha256:{sha256(text.encode()).hexdigest()}"


def container(name: str, reference: str = "nginx:1.27", version: str = "old") -> ContainerState:
    """Return a container as a snapshot tells it."""
    return ContainerState(
        id=sha256(f"{name} {version}".encode()).hexdigest(),
        name=name,
        reference=reference,
        image_id=digest_of(f"image {reference} {version}"),
        digests=(digest_of(f"{reference} {version}"),),
        platform="linux/amd64",
        state="running",
    )


def snapshot(*containers: ContainerState) -> Snapshot:
    """Return a snapshot in one part."""
    return Snapshot(hash=sha256(repr(containers).encode()).hexdigest(), containers=containers)


def rows(db: Database, table: Table) -> list[dict[str, Any]]:
    """Return every row of a table, raw."""
    with db.reading() as connection:
        return [dict(row) for row in connection.execute(select(table)).mappings()]


@dataclass(slots=True)
class Agent:
    """What a host does with the messages that it gets, and what it says."""

    id: UUID
    name: str
    result: Result = Result.UPDATED
    orders: dict[UUID, Order] = field(default_factory=dict)
    recreated: list[UUID] = field(default_factory=list)
    """Updates that it carried out, each once however often the go came: it keeps a journal of them."""
    clock_off: timedelta = timedelta()
    """By how much its own clock is wrong, which it tells in good faith."""
    outcomes: dict[UUID, Outcome] = field(default_factory=dict)
    """Those that wait for their receipt."""
    cancelled: set[UUID] = field(default_factory=set)
    asked: list[Resolve] = field(default_factory=list)
    wants_snapshot: bool = False
    pulling: Callable[[Order, UUID], PullOutcome] | None = None
    """Pulls in its place, where a test wants it otherwise."""

    def hear(self, message: object) -> list[Up]:
        """Take a message; return what is said to it."""
        match message:
            case Offer(command=id):
                return [Claim(command=id)]
            case Order() as order:
                if order.command in self.cancelled:
                    return []
                self.orders[order.command] = order
                return [
                    Ready(command=order.command, pulls=tuple(self._pull(order, id) for id in order.pull_ids.values()))
                ]
            case Go(command=id):
                return [] if id in self.cancelled or id not in self.orders else self._recreate(self.orders[id])
            case Cancel(command=id):
                self.cancelled.add(id)
            case Receipt(ids=ids):
                for each in ids:
                    self.outcomes.pop(each, None)
            case Resolve() as resolve:
                self.asked.append(resolve)
            case SendSnapshot():
                self.wants_snapshot = True
        return []

    def _pull(self, order: Order, pull_id: UUID) -> PullOutcome:
        return self.pulling(order, pull_id) if self.pulling else self.pull(order, pull_id)

    def pull(self, order: Order, pull_id: UUID) -> PullOutcome:
        """Return what came of a pull: a mirror that was dead, and one that served."""
        target = next(t for t in order.targets)
        dead = Attempt(source="http://dead.lan", role=Role.MIRROR, result=AttemptResult.UNREACHABLE, failures=1)
        good = Attempt(
            source=GOOD_MIRROR,
            role=Role.MIRROR,
            result=AttemptResult.SERVED,
            bytes=1000,
            duration_ms=10,
            verified=True,
            redirected_to=("cdn.lan:5000",),
        )
        return PullOutcome(
            pull_id=pull_id,
            reference=target.reference,
            digest=target.digest,
            ok=True,
            tier=Tier.LOOPBACK,
            bytes=1000,
            duration_ms=12,
            attempts=(dead, good),
        )

    def _recreate(self, order: Order) -> list[Up]:
        for target in order.targets:
            if target.update_id not in self.recreated:
                self.recreated.append(target.update_id)
                self.outcomes[target.update_id] = self.outcome(order, target.update_id)
        return list(self.outcomes.values())

    def outcome(self, order: Order, update_id: UUID, result: Result | None = None) -> Outcome:
        """Return what came of one target."""
        target = next(t for t in order.targets if t.update_id == update_id)
        came = UpdateOutcome(
            update_id=update_id,
            container=target.container,
            result=result or self.result,
            reason="" if (result or self.result) is Result.UPDATED else "cannot do it",
            old_digest=target.old_digest,
            new_digest=target.digest,
            new_image_id=digest_of(f"image {target.digest}"),
            new_container_id=sha256(f"{self.name} {update_id}".encode()).hexdigest(),
            pull_id=next(iter(order.pull_ids.values())),
            phases=Phases(pull_ms=12, stop_ms=3),
            downtime_ms=5,
        )
        finished_at = datetime(2026, 11, 25, tzinfo=UTC) + self.clock_off
        return Outcome(command=order.command, outcome=came, finished_at=finished_at)


@dataclass(slots=True)
class World:
    """The centre's database, its inbox, and some agents."""

    db: Database
    lock: InboxLock
    agents: dict[str, Agent] = field(default_factory=dict)

    def add_host(self, name: str, *containers: ContainerState, heard: bool = True) -> Agent:
        """Add a host that runs *containers*."""
        row = hosts.add_host(
            self.db, name=name, labels={}, public_key=f"key {name}", kid=f"kid {name}", password_sha256="aa", **BY
        )
        agent = Agent(row.id, name)
        self.agents[row.id.hex] = agent
        if heard:
            self.take(agent, snapshot(*containers), self.heartbeat(snapshot(*containers).hash))
        return agent

    def heartbeat(
        self,
        hash: str = "",
        *,
        claims: Iterable[UUID] = (),
        ready: Iterable[UUID] = (),
        clock_off: timedelta = timedelta(),
    ) -> Heartbeat:
        """Return a heartbeat."""
        return Heartbeat(
            facts=HostFacts(agent_version="0.1.0", os="linux", architecture="amd64"),
            snapshot_hash=hash,
            claims=tuple(claims),
            ready=tuple(ready),
            host_time=self.db.now() + clock_off,
        )

    def good(self, agent: Agent, message: Up) -> Good:
        """Return a message of a host, proved."""
        return Good(id=uuid4(), host_id=agent.id.hex, message=message, received=self.db.now())

    def take(self, agent: Agent, *messages: Up) -> TakeResult:
        """Let the inbox take messages of one host."""
        return self.take_all([self.good(agent, message) for message in messages])

    def take_all(self, messages: Sequence[Taken]) -> TakeResult:
        """Let the inbox take a batch."""
        return inbox.take(self.db, self.lock, messages)

    def plan(self, *names: str, reference: str = "nginx:1.27", version: str = "new") -> UUID:
        """Save a plan that brings every container of these hosts (all, where none is named) to *version*."""
        image = f"docker.io/library/{reference}"
        new = digest_of(f"{reference} {version}")
        tags.record_resolved(self.db, image, new, "https://registry-1.docker.io")
        policy = policies.effective_policies(self.db)
        planned = []
        for row in hosts.hosts(self.db):
            if not names or row.name in names:
                found = [each for each in self._containers(row.id) if each["image"] == image]
                targets = tuple(
                    PlannedContainer(
                        container_id=each["id"],
                        container=each["name"],
                        image_id=each["image_id"],
                        reference=each["reference"],
                        image=image,
                        digest=new,
                        old_digest=next(iter(each["digests"]), ""),
                    )
                    for each in found
                )
                planned.append(
                    PlannedHost(host_id=row.id, host=row.name, policy=policy[row.id].hash, containers=targets)
                )
        document = PlanDocument(hosts=PlannedHosts.of(planned))
        return plans.save_plan(self.db, selector=Selector(), document=document, by="person:anna").id

    def _containers(self, host_id: UUID) -> list[dict[str, Any]]:
        return [row for row in rows(self.db, containers) if row["host_id"] == host_id]

    def rollout(self, *names: str, spec: RolloutSpec | None = None, version: str = "new") -> UUID:
        """Plan and apply."""
        return plans.apply_plan(self.db, self.plan(*names, version=version), spec=spec, **BY)

    def tick(self) -> list[Outgoing]:
        """Do what the planner does at a tick; return what it sent."""
        tick.expire(self.db)
        sent = self.advance_all() + tick.due_messages(self.db)
        tick.mark_sent(self.db, sent)
        return sent

    def advance_all(self) -> list[Outgoing]:
        """Bring every rollout to rest, as the planner does; return the offers that are to be sent."""
        offers: list[Outgoing] = []
        for _ in range(MOST_PASSES):
            advanced = [tick.advance_rollout(self.db, id) for id in tick.active_rollouts(self.db)]
            offers += [offer for each in advanced for offer in each.offers]
            if not any(each.changed for each in advanced):
                return offers
        raise AssertionError("rollouts do not come to rest")

    def deliver(self, sent: Iterable[Outgoing]) -> None:
        """Bring messages to their hosts, and what they say to the inbox."""
        said = [
            self.good(self.agents[each.host_id], up)
            for each in sent
            for up in self.agents[each.host_id].hear(each.message)
        ]
        self.take_all(said)

    def run(self, ticks: int = 8) -> None:
        """Tick and deliver until nothing is sent any more."""
        for _ in range(ticks):
            sent = self.tick()
            self.deliver(sent)
            if not sent and not tick.active_rollouts(self.db):
                return

    def until(self, kind: type, ticks: int = 8) -> list[Outgoing]:
        """Tick and deliver until a message of *kind* is sent; return what was sent with it, undelivered."""
        for _ in range(ticks):
            sent = self.tick()
            if any(isinstance(each.message, kind) for each in sent):
                return sent
            self.deliver(sent)
        raise AssertionError(f"no {kind.__name__} was sent")


def open_world(db: Database, tmp_path: Path, stack: ExitStack) -> World:
    """Return a world whose inbox lock is held until *stack* ends."""
    return World(db, stack.enter_context(inbox.lock(db, state_dir=tmp_path, wait_s=0)))
