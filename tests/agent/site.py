"""A host with an agent that takes orders, and an engine in memory: what the tests of its work share."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from fleet.agent.commands import Commands
from fleet.agent.outbox import Outbox
from fleet.agent.problems import Problems
from fleet.agent.work import Ways, Workshop
from fleet.ids import new_id
from fleet.images.digest import Digest
from fleet.images.platform import Platform
from fleet.images.reference import Reference
from fleet.road.messages import Go, Order, Outcome, Up
from fleet.testing.clock import ManualClock
from fleet.testing.engine import MemoryEngine
from fleet.testing.engine_faults import KillNow
from fleet.updates.command import Policy, Target, UpdateCommand, pull_key
from fleet.updates.journal import CommandState, Journal
from fleet.updates.known import KnownDigests
from fleet.updates.outcome import PullOutcome, Result, Tier
from fleet.updates.own import OwnUpdate
from fleet.updates.pull import PullProgress

ID = UUID(int=1)


class Pulls:
    """Pulls as the test says."""

    def __init__(self, engine: MemoryEngine, clock: ManualClock) -> None:
        self.engine, self.clock = engine, clock
        self.made: list[str] = []
        self.fails: set[str] = set()
        self.during: Callable[[], None] = lambda: None

    def open(self) -> None:
        """Begin."""

    def close(self) -> None:
        """End."""

    def forget_strangers(self) -> None:
        """Know of none."""

    def pull(
        self,
        reference: Reference,
        digest: Digest,
        *,
        pull_id: UUID,
        platform: Platform | None,
        policy: Policy,
        progress: Callable[[PullProgress], None],
        stop: Callable[[], bool],
        containers: Sequence[str],
    ) -> PullOutcome:
        """Bring the image, or fail, or be stopped."""
        self.engine.ping()
        self.made.append(reference.familiar + (f" {platform}" if platform else ""))
        progress(PullProgress(bytes=5, total=10, source="https://mirror.example"))
        self.during()
        reason = "cannot go on: stopped" if stop() else "cannot pull" if reference.familiar in self.fails else ""
        image = None
        if not reason:
            image = self.engine.add_image(reference.familiar, digest=str(digest), Labels={"new": "1"})
        return PullOutcome(
            pull_id=pull_id,
            reference=str(reference.pinned(digest)),
            digest=str(digest),
            ok=not reason,
            tier=Tier.LOOPBACK,
            image_id=image.id if image else "",
            reason=reason,
        )


class Site:
    """A host with containers; its agent may be killed and started again."""

    def __init__(self, path: Path, clock: ManualClock) -> None:
        self.path, self.clock = path, clock
        self.engine = MemoryEngine(clock)
        self.pulls = Pulls(self.engine, clock)
        self.said: list[Up] = []
        self.put: list[Outcome] = []
        self.changes = 0
        self.own: OwnUpdate | None = None
        """Whose container this agent is in, where it is in one."""
        self.goes = False
        """Whether the centre answers each ready with a go."""
        self.begin()

    def begin(self, after_write: Callable[[str], None] | None = None) -> None:
        """Start an agent."""
        self.problems = Problems()
        self.journal = Journal(self.path / "journal", after_write=after_write)
        self.commands = Commands(self.journal)
        self.outbox = Outbox(self.path / "outbox", clock=self.clock, problems=self.problems)
        ways = Ways(put=self._put, say=self.said.append, ready=self._answer, changed=self._note_change)
        known = KnownDigests(self.path / "known.json")
        self.workshop = Workshop(
            self.engine,
            self.journal,
            self.commands,
            self.pulls,
            known,
            ways,
            clock=self.clock,
            problems=self.problems,
            own=self.own,
        )

    def _note_change(self) -> None:
        self.changes += 1

    def _answer(self) -> None:
        if self.goes:
            self.tell(Go(command=ID))

    def go(self) -> None:
        """Give the go, and again to an agent that asks again."""
        self.goes = True
        self.tell(Go(command=ID))

    def _put(self, outcome: Outcome) -> None:
        self.put.append(outcome)
        self.outbox.put(outcome)

    def run(self, *names: str, **body: Any) -> None:
        """Run containers of the first version of their images."""
        for name in names:
            self.engine.add_image(f"{name}:1")
            self.engine.run(name, f"{name}:1", **body)
        self.clock.advance(60)

    def order(self, *names: str, version: int = 1) -> None:
        """Order that they be brought to the second version, by a message of *version*."""
        running = self.engine.running()
        targets = tuple(
            Target(
                update_id=new_id(),
                container_id=running[name]["Id"],
                container=name,
                image_id=running[name]["Image"],
                reference=Reference.parse(f"{name}:1"),
                digest=Digest.of(name.encode()),
            )
            for name in names
        )
        pulls = {pull_key(each): new_id() for each in targets}
        command = UpdateCommand(id=ID, targets=targets, policy=Policy(), pull_ids=pulls)
        self.tell(Order.of(command).model_copy(update={"v": version}))

    def tell(self, message: Any) -> None:
        """Take a message from the centre."""
        self.commands.receive(message, self.clock.now(), self._put)

    def work(self) -> float:
        """Work until nothing is left to do; return how long the workshop wants to wait then."""
        while (wait_s := self.workshop.step()) == 0:
            pass
        return wait_s

    def live(self, until: Callable[[], bool], after_write: Callable[[str], None] | None = None) -> int:
        """Let agents live and die until something holds; return how many died."""
        for deaths in range(50):
            self.begin(after_write)
            try:
                if self.state() is CommandState.READY:
                    self._answer()  # to the heartbeat of the agent's start
                self.work()
            except KillNow:
                continue
            if until():
                return deaths
        raise AssertionError("it never came to it")

    def results(self) -> dict[str, Result]:
        """Return what came of each container; assert that nothing else was told of it before."""
        told: dict[str, set[tuple[UUID, Result]]] = {}
        for each in self.put:
            told.setdefault(each.outcome.container, set()).add((each.outcome.update_id, each.outcome.result))
        assert all(len(one) == 1 for one in told.values()), told
        return {name: result for name, ((_, result),) in ((name, tuple(one)) for name, one in told.items())}

    def state(self) -> CommandState | None:
        """Return how far the command is."""
        entry = self.commands.wanted(ID)
        return entry.state if entry else None
