"""The agent's own container among the targets: last, by a stand-in, and its outcome found by whichever agent is there then."""

from pathlib import Path

import pytest

from fleet.agent.work import OWN_POLL_S
from fleet.testing.clock import ManualClock
from fleet.updates.journal import CommandState
from fleet.updates.outcome import Result
from fleet.updates.own import OwnUpdate, carry_out
from tests.agent.site import Site


@pytest.fixture
def site(tmp_path: Path, clock: ManualClock) -> Site:
    """A host on which the agent, of all containers, has the first name."""
    site = Site(tmp_path, clock)
    site.run("agent", HostConfig={"Binds": [f"{tmp_path}:{tmp_path}"], "RestartPolicy": {"Name": "always"}})
    site.run("web", "db")
    own = site.engine.running()["agent"]["Id"]
    site.own = OwnUpdate(tmp_path, own, ("python", "-m", "stand.in"))
    site.begin()
    site.order("agent", "db", "web")
    site.work()
    site.go()
    return site


def stand_in(site: Site) -> None:
    """Let the stand-in do its work; it ends the agent with its container."""
    assert site.own is not None
    assert "agent.fleet-stand-in" in site.engine.running()
    carry_out(site.engine, site.own.folder, site.clock)


def test_the_agent_is_the_last_and_does_nothing_else_until_it_is_over(site: Site) -> None:
    before = site.engine.running()["agent"]["Id"]
    assert site.work() == OWN_POLL_S
    assert site.results() == {"db": Result.UPDATED, "web": Result.UPDATED}
    assert site.engine.running()["agent"]["Id"] == before
    assert site.work() == OWN_POLL_S
    assert not site.workshop.busy


def test_the_new_agent_finds_the_outcome_and_ends_the_command(site: Site) -> None:
    site.work()
    stand_in(site)
    site.begin()
    site.work()
    assert site.results() == dict.fromkeys(("agent", "db", "web"), Result.UPDATED)
    assert site.state() is CommandState.DONE
    assert site.engine.names() == ["agent", "db", "web"]


def test_the_old_agent_that_came_back_finds_it_too(site: Site) -> None:
    site.work()
    site.engine.fail("start", RuntimeError("no"))
    stand_in(site)
    site.begin()
    site.work()
    assert site.results()["agent"] is Result.ROLLED_BACK
    assert site.engine.names() == ["agent", "db", "web"]


def test_an_agent_that_starts_in_the_middle_waits_for_it(site: Site) -> None:
    site.work()
    site.engine.remove("agent.fleet-stand-in", force=True)
    site.begin()
    assert site.work() == OWN_POLL_S
    assert "agent" not in site.results()
    stand_in(site)
    assert site.work() == float("inf")
    assert site.results()["agent"] is Result.UPDATED


def test_a_stand_in_that_never_begins_leaves_the_agent_as_it_is(site: Site) -> None:
    before = site.engine.running()["agent"]["Id"]
    site.work()
    site.engine.world.must("agent.fleet-stand-in", "look at").restarts = 5
    site.work()
    assert site.results()["agent"] is Result.FAILED
    assert site.engine.running()["agent"]["Id"] == before
    assert site.engine.names() == ["agent", "db", "web"]


def test_a_stand_in_that_cannot_be_made_leaves_the_agent_as_it_is(tmp_path: Path, clock: ManualClock) -> None:
    site = Site(tmp_path, clock)
    site.run("agent")
    site.own = OwnUpdate(tmp_path, site.engine.running()["agent"]["Id"], ("python",))
    site.begin()
    site.order("agent")
    site.work()
    site.go()
    assert site.work() == float("inf")
    assert site.results() == {"agent": Result.FAILED}
    assert "is in no volume" in site.put[0].outcome.reason
