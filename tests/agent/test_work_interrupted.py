"""Work that is interrupted, by its end, by an engine that is away, or by a kill at any write, ends with one outcome all the same."""

import errno
from uuid import UUID

import pytest

from fleet.agent import outbox
from fleet.agent.work import MOST_ATTEMPTS
from fleet.errors import EngineUnreachable
from fleet.road.messages import Go
from fleet.testing.engine_faults import KillNow
from fleet.updates.journal import CommandState
from fleet.updates.outcome import Result
from tests.agent.site import ID, Site


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
