"""Work: pulled when ordered, recreated when told to go, each target with one outcome, whatever fails on the way."""

import errno
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from structlog.contextvars import get_contextvars

from fleet.agent import outbox
from fleet.agent.commands import Commands
from fleet.agent.outbox import Outbox
from fleet.agent.problems import Problems
from fleet.agent.work import MOST_ATTEMPTS, Ways, Workshop
from fleet.errors import EngineUnreachable
from fleet.ids import new_id
from fleet.images.digest import Digest
from fleet.images.platform import Platform
from fleet.images.reference import Reference
from fleet.road.messages import Cancel, Go, Order, Outcome, Progress, Up
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


@pytest.fixture
def site(tmp_path: Path, clock: ManualClock) -> Site:
    """Begin with no container."""
    return Site(tmp_path, clock)


def test_an_order_is_pulled_and_no_container_touched_before_the_go(site: Site) -> None:
    site.run("web", "db")
    before = {name: found["Id"] for name, found in site.engine.running().items()}
    site.order("web", "db")
    site.work()
    assert site.state() is CommandState.READY
    assert site.pulls.made == ["web:1", "db:1"]
    assert {name: found["Id"] for name, found in site.engine.running().items()} == before
    assert site.put == []


def test_a_go_recreates_every_target_and_ends_the_command(site: Site) -> None:
    site.run("web", "db")
    site.order("web", "db")
    site.work()
    site.tell(Go(command=ID))
    assert site.work() == float("inf")
    assert site.results() == {"web": Result.UPDATED, "db": Result.UPDATED}
    assert site.state() is CommandState.DONE
    assert site.journal.updates() == []
    phases = [said.phase for said in site.said if isinstance(said, Progress) and said.container == "web"]
    assert phases == ["pull", "create", "stop", "start", "verify"]


def test_whatever_is_logged_on_the_way_names_the_command(site: Site) -> None:
    """So one update is followed by one id, which the history names too; what comes after it is not said to be of it."""
    seen: list[dict[str, Any]] = []
    site.pulls.during = lambda: seen.append(get_contextvars())
    site.run("web")
    site.order("web")
    site.work()
    assert (seen, get_contextvars()) == ([{"command": str(ID)}], {})


def test_what_runs_is_told_once_a_command_has_touched_it_all(site: Site) -> None:
    """So that whoever asks after an update is not told of the container before it."""
    site.run("web", "database")
    site.order("web", "database")
    site.work()
    assert site.changes == 0
    site.tell(Go(command=ID))
    site.work()
    assert site.changes == 1


def test_a_pull_that_failed_is_an_outcome_at_once_and_the_others_go_on(site: Site) -> None:
    site.run("web", "db")
    site.pulls.fails = {"web:1"}
    site.order("web", "db")
    site.work()
    (failed,) = site.put
    assert (failed.outcome.container, failed.outcome.result) == ("web", Result.FAILED)
    assert failed.pull is not None
    assert not failed.pull.ok
    assert site.state() is CommandState.READY
    site.tell(Go(command=ID))
    site.work()
    assert site.results() == {"web": Result.FAILED, "db": Result.UPDATED}


def test_a_command_without_any_image_ends_without_a_go(site: Site) -> None:
    site.run("web")
    site.pulls.fails = {"web:1"}
    site.order("web")
    site.work()
    assert site.state() is CommandState.DONE


def test_what_policy_leaves_out_is_neither_pulled_nor_touched(site: Site) -> None:
    site.run("web")
    site.run("db", Labels={"fleet.ignore": "true"})
    site.order("web", "db")
    site.work()
    assert site.results() == {"db": Result.SKIPPED}
    assert site.pulls.made == ["web:1"]
    site.tell(Go(command=ID))
    site.work()
    assert site.results() == {"db": Result.SKIPPED, "web": Result.UPDATED}


def test_a_container_that_went_while_the_go_was_awaited_is_skipped(site: Site) -> None:
    site.run("web")
    site.order("web")
    site.work()
    site.engine.remove("web", force=True)
    site.tell(Go(command=ID))
    site.work()
    assert site.results() == {"web": Result.SKIPPED}


def test_a_cancel_stops_a_pull_under_way_and_leaves_no_outcome(site: Site) -> None:
    site.run("web", "db")
    site.order("web", "db")
    site.pulls.during = lambda: site.tell(Cancel(command=ID))
    site.work()
    assert site.pulls.made == ["web:1"]
    assert site.put == []
    assert site.state() is None


def test_a_cancel_of_what_is_ready_leaves_the_bytes_and_touches_nothing(site: Site) -> None:
    """So ends a pull ahead."""
    site.run("web")
    before = {name: found["Id"] for name, found in site.engine.running().items()}
    site.order("web")
    site.work()
    assert site.state() is CommandState.READY
    site.tell(Cancel(command=ID, reason="its bytes are there"))
    site.tell(Go(command=ID))
    site.work()
    assert ({name: found["Id"] for name, found in site.engine.running().items()}, site.put) == (before, [])
    assert site.pulls.made == ["web:1"]


def test_an_end_of_the_process_stops_a_pull_that_the_next_one_takes_up(site: Site) -> None:
    site.run("web")
    site.order("web")
    stop = [False]
    site.workshop.stopping = lambda: stop[0]
    site.pulls.during = lambda: stop.__setitem__(0, True)
    assert site.workshop.step() == 0
    assert site.put == []
    site.pulls.during = lambda: None
    site.begin()
    site.work()
    assert site.state() is CommandState.READY


def test_a_pull_is_a_bad_moment_to_end_and_an_orderly_end_spends_no_attempt(site: Site) -> None:
    """A broker that is away for long, or a service that is restarted often, is not the command's fault."""
    site.run("web")
    site.order("web")
    stop, busy = [False], []

    def end() -> None:
        busy.append(site.workshop.busy)
        stop[0] = True

    site.pulls.during = end
    for _ in range(MOST_ATTEMPTS + 1):
        site.begin()
        stop[0] = False
        site.workshop.stopping = lambda: stop[0]
        site.workshop.step()
    assert busy == [True] * (MOST_ATTEMPTS + 1)
    assert not site.workshop.busy
    site.pulls.during = lambda: None
    site.begin()
    site.work()
    assert site.state() is CommandState.READY


def test_an_end_of_the_process_begins_no_further_container_and_the_next_asks_for_its_go(site: Site) -> None:
    """Meanwhile the rollout may have been held, or its window have closed: the old go is worth nothing."""
    site.run("web", "db")
    site.order("web", "db")
    site.work()
    site.tell(Go(command=ID))
    site.workshop.stopping = lambda: bool(site.put)
    site.workshop.step()
    assert site.results() == {"web": Result.UPDATED}
    site.begin()
    site.work()
    assert site.state() is CommandState.READY
    assert site.results() == {"web": Result.UPDATED}
    site.tell(Go(command=ID))
    site.work()
    assert site.results() == {"web": Result.UPDATED, "db": Result.UPDATED}


def test_while_the_engine_is_away_the_work_waits_and_no_attempt_is_spent(site: Site) -> None:
    site.run("web")
    site.order("web")
    site.engine.fail("ping", EngineUnreachable("cannot reach it"), times=20)
    for _ in range(20):
        assert site.workshop.step() > 0
    assert site.problems.lines() == ("engine-away: cannot reach it",)
    site.work()
    assert site.state() is CommandState.READY


@pytest.mark.parametrize("call", ["create", "stop", "rename", "start", "remove"])
def test_an_engine_that_goes_away_in_the_middle_is_waited_for(site: Site, call: str) -> None:
    site.run("web")
    site.order("web")
    site.work()
    site.tell(Go(command=ID))
    site.engine.fail(call, EngineUnreachable("cannot reach it"), times=1)
    site.engine.fail("ping", EngineUnreachable("cannot reach it"), after=1, times=1)
    while site.state() is not CommandState.DONE:
        site.workshop.step()
        site.clock.advance(60)
    assert len(site.results()) == 1
    assert set(site.engine.running()) == {"web"}


def test_an_outcome_stays_in_the_journal_until_the_outbox_has_it_on_the_disk(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a kill after the disk was full for a moment would lose what came of an update."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    site.run("web")
    site.order("web")
    site.work()
    site.tell(Go(command=ID))
    with monkeypatch.context() as patch:
        patch.setattr(outbox, "write_atomically", full)
        assert site.workshop.step() > 0
    assert [entry.outcome is not None for entry in site.journal.updates()] == [True]
    site.work()
    assert site.journal.updates() == []
    site.begin()
    assert len(site.outbox) == 1
    assert site.results() == {"web": Result.UPDATED}


def test_an_update_under_way_is_never_abandoned(site: Site) -> None:
    """An engine that fails again and again between its answers to the ping leaves the old container stopped."""
    site.run("web")
    site.order("web")
    site.work()
    site.tell(Go(command=ID))
    site.engine.fail("start", EngineUnreachable("cannot reach it"), times=6 * (MOST_ATTEMPTS + 1))
    for _ in range(MOST_ATTEMPTS + 3):
        site.workshop.step()
        site.clock.advance(60)
    assert set(site.engine.running()) == {"web"}
    assert site.results() == {"web": Result.ROLLED_BACK}


@pytest.mark.parametrize(("version", "told"), [(1, False), (2, False), (3, True)])
def test_that_an_agent_ended_in_the_middle_is_told_to_a_centre_that_reads_of_it(
    site: Site, version: int, told: bool
) -> None:
    """The order says what the centre reads, also to an agent that begins after it."""
    site.run("web")
    site.order("web", version=version)
    site.work()
    site.go()
    site.engine.fail("start", KillNow)
    assert site.live(lambda: site.state() is CommandState.DONE) == 1
    assert site.results() == {"web": Result.ROLLED_BACK}
    assert [(each.v, each.outcome.interrupted) for each in site.put] == [(3 if told else 1, told)]
    assert "interrupted" in site.put[0].outcome.reason


def test_a_command_that_kills_its_agent_is_abandoned(site: Site) -> None:
    site.run("web", "db")
    site.order("web", "db")

    def die() -> None:
        raise KillNow

    site.pulls.during = die
    deaths = site.live(lambda: site.state() is CommandState.DONE)
    assert deaths == MOST_ATTEMPTS
    assert site.results() == {"web": Result.ABANDONED, "db": Result.ABANDONED}
    assert "3 times" in site.put[0].outcome.reason


def test_a_go_that_kills_its_agent_each_time_is_abandoned_though_it_is_given_anew(site: Site) -> None:
    site.run("web")
    site.order("web")
    site.work()
    site.go()
    site.engine.fail("container_ids", KillNow(), times=MOST_ATTEMPTS)
    assert site.live(lambda: site.state() is CommandState.DONE) == MOST_ATTEMPTS
    assert site.results() == {"web": Result.ABANDONED}


def test_work_that_fails_in_an_unforeseen_way_is_abandoned_too(site: Site) -> None:
    site.run("web")
    site.order("web")

    def break_down() -> None:
        raise ZeroDivisionError

    site.pulls.during = break_down
    for _ in range(MOST_ATTEMPTS):
        with pytest.raises(ZeroDivisionError):
            site.workshop.step()
    site.work()
    assert site.results() == {"web": Result.ABANDONED}


def test_a_command_that_goes_on_a_little_each_time_is_not_abandoned(site: Site) -> None:
    names = tuple(f"web-{number}" for number in range(6))
    site.run(*names)
    site.order(*names)
    ended: list[int] = []

    def die_after_each(write: str) -> None:
        if write == "update:done":
            ended.append(1)
            raise KillNow

    site.live(lambda: site.state() is CommandState.READY)
    site.go()
    deaths = site.live(lambda: site.state() is CommandState.DONE, die_after_each)
    assert deaths == len(names)
    assert set(site.results().values()) == {Result.UPDATED}


@pytest.mark.parametrize("nth", range(22))
def test_killed_after_any_write_there_is_one_outcome_each_and_all_run(site: Site, nth: int) -> None:
    """Two containers, and a death after the n-th write of the journal: of the order, or of the go."""
    site.run("web", "db")
    site.order("web", "db")
    writes: list[str] = []

    def die_once(write: str) -> None:
        writes.append(write)
        if len(writes) == nth + 1:
            raise KillNow

    site.live(lambda: site.state() is CommandState.READY, die_once)
    site.begin()
    site.go()
    deaths = site.live(lambda: site.state() is CommandState.DONE, die_once)
    assert deaths <= 1
    results = site.results()
    assert set(results) == {"web", "db"}
    assert set(results.values()) <= {Result.UPDATED, Result.ROLLED_BACK, Result.FAILED}
    assert set(site.engine.running()) == {"web", "db"}
    assert site.engine.names() == ["db", "web"]
    assert site.journal.updates() == []


def test_a_damaged_journal_stops_the_work_and_is_told(site: Site) -> None:
    site.run("web")
    site.order("web")
    (site.path / "journal" / "updates" / f"{UUID(int=9)}.json").write_text("{")
    site.begin()
    assert site.workshop.step() > 0
    assert site.problems.lines()[0].startswith("not-recovered: cannot read")
    assert site.pulls.made == []


def test_a_damaged_record_keeps_no_other_container_down(site: Site) -> None:
    """What was in flight comes to its end first; then a person looks, before anything new is touched."""
    site.run("web")
    site.order("web")
    site.work()
    site.engine.fail("start", KillNow)
    site.go()
    with pytest.raises(KillNow):
        site.work()
    assert "web" not in site.engine.running()
    (site.path / "journal" / "updates" / f"{UUID(int=0)}.json").write_bytes(bytes(4096))
    site.begin()
    assert site.workshop.step() > 0
    assert "web" in site.engine.running()
    assert site.results() == {"web": Result.ROLLED_BACK}
    assert site.problems.lines()[0].startswith("not-recovered: cannot read")


DEPENDS = "fleet.depends-on"


def test_what_is_needed_is_recreated_first_and_who_asks_for_it_is_restarted_once(site: Site) -> None:
    site.run("db")
    site.run("api", Labels={DEPENDS: "db:restart"})
    site.run("web", Labels={DEPENDS: "api,db:restart"})
    site.run("job", Labels={DEPENDS: "db"})
    before = {name: found["State"]["StartedAt"] for name, found in site.engine.running().items()}
    ids = {name: found["Id"] for name, found in site.engine.running().items()}
    site.order("web", "db")
    site.work()
    site.go()
    site.work()
    assert [each.outcome.container for each in site.put] == ["db", "web"]
    after = site.engine.running()
    assert (after["api"]["Id"], after["job"]["Id"]) == (ids["api"], ids["job"])
    assert after["api"]["State"]["StartedAt"] != before["api"]
    assert after["job"]["State"]["StartedAt"] == before["job"]
    assert not (site.journal.path / "restarts").exists()


def test_who_asks_for_what_a_killed_agent_updated_is_restarted_by_the_next_one(site: Site) -> None:
    site.run("db")
    site.run("api", Labels={DEPENDS: "db:restart"})
    before = site.engine.running()["api"]

    def dies(write: str) -> None:
        if write == "update:remove":
            raise KillNow

    site.begin(dies)
    site.order("db")
    site.work()
    with pytest.raises(KillNow):
        site.go()
        site.work()
    site.begin()
    site.work()
    assert site.results() == {"db": Result.UPDATED}
    after = site.engine.running()["api"]
    assert after["Id"] == before["Id"]
    assert after["State"]["StartedAt"] != before["State"]["StartedAt"]


def test_that_every_byte_is_there_is_told_at_once(site: Site) -> None:
    site.run("web")
    site.goes = True
    site.order("web")
    site.work()
    assert site.results() == {"web": Result.UPDATED}


def test_a_container_whose_needs_go_in_a_circle_is_skipped_by_name(site: Site) -> None:
    site.run("a", Labels={DEPENDS: "b"})
    site.run("b", Labels={DEPENDS: "a"})
    site.run("c")
    site.order("a", "b", "c")
    site.work()
    site.go()
    site.work()
    assert site.results() == {"a": Result.SKIPPED, "b": Result.SKIPPED, "c": Result.UPDATED}
    assert site.put[0].outcome.reason == "cannot update a: its needs go in a circle: a -> b -> a"
