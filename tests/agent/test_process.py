"""The agent as a process, over a real broker and with a scripted centre: what is asked is done, once, whatever dies."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fleet.clock import SystemClock
from fleet.errors import EngineUnreachable
from fleet.images.digest import Digest
from fleet.road.embedded import EmbeddedBroker
from fleet.road.messages import Cancel, Claim, Go, Heartbeat, Progress, Ready, SendSnapshot, Snapshot
from fleet.testing.engine import MemoryEngine
from fleet.testing.engine_images import Behaviour
from fleet.updates.command import Target
from fleet.updates.outcome import Result
from tests.agent import engine_server
from tests.agent.scripted_centre import ScriptedCentre, target

pytestmark = pytest.mark.redis
REPOSITORY = Path(__file__).parents[2]


class Site:
    """One host: an engine that lives on, and an agent that may be killed."""

    def __init__(self, folder: Path, centre: ScriptedCentre) -> None:
        self.engine = MemoryEngine(SystemClock())
        self.centre = centre
        self.folder = folder
        self.death = folder / "death"
        self._version = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._join = folder / "host.join"
        centre.join.write(self._join)
        self._server = engine_server.serve(self.engine, str(folder / "engine.sock"))
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.log = folder / "agent.log"

    def start(self, state: str = "state") -> subprocess.Popen[bytes]:
        """Start an agent."""
        driver = str(REPOSITORY / "tests" / "agent" / "driver.py")
        arguments = [self._join, self.folder / state, self.folder / "engine.sock", self.death]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, driver, *map(str, arguments)],
                stderr=log,
                cwd=REPOSITORY,
                env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            )
        return self._process

    def stop(self) -> None:
        """End the agent and its engine's socket."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._server.listener.close()

    def run_old(self, name: str = "web") -> None:
        """Run a container of the first version of an image."""
        self.engine.add_image(f"{name}:1")
        self.engine.run(name, f"{name}:1")

    def newer(self, name: str = "web") -> Target:
        """Return what brings the container to an image that is newer than the one it runs."""
        self._version += 1
        digest = str(Digest.of(f"version {self._version}".encode()))
        now = self.engine.running()[name]
        self.engine.publish(f"{name}:1", digest, Labels={"version": str(self._version)})
        list(self.engine.pull(f"{name}@{digest}"))
        return target(name, now["Id"], now["Image"], f"{name}:1", digest)

    def runs(self, wanted: Target) -> bool:
        """Tell whether the container runs the digest of *wanted*, and nothing else of its name is there."""
        assert self.engine.names() == ["web"]
        image = self.engine.running()["web"]["Image"]
        return f"web@{wanted.digest}" in self.engine.world.images.images[image].digests


@pytest.fixture
def site(short: Path, broker: EmbeddedBroker) -> Iterator[Site]:
    """Begin a centre and a host."""
    with ScriptedCentre(broker.address) as centre, _site(short, centre) as site:
        yield site
        if os.environ.get("FLEET_TEST_LOG"):
            print(site.log.read_text())


@contextmanager
def _site(folder: Path, centre: ScriptedCentre) -> Iterator[Site]:
    site = Site(folder, centre)
    site.run_old()
    try:
        yield site
    finally:
        site.stop()


def test_an_offer_becomes_an_outcome_by_claim_order_ready_and_go(site: Site) -> None:
    site.start()
    wanted = site.newer()
    command = site.centre.offer(wanted)
    site.centre.wait(lambda: site.centre.outcomes(command))
    (outcome, *_) = site.centre.outcomes(command)
    assert outcome.outcome.result is Result.UPDATED, outcome.outcome.reason
    assert outcome.pull is not None and outcome.pull.ok
    assert [claim.command for claim in site.centre.said(Claim)][:1] == [command]
    assert [ready.command for ready in site.centre.said(Ready)][:1] == [command]
    assert site.runs(wanted)
    assert site.centre.said(Heartbeat)[0].facts.engine_name == "memory"


def test_an_outcome_is_said_until_its_receipt_and_no_longer(site: Site) -> None:
    site.centre.confirming = False
    process = site.start()
    command = site.centre.offer(site.newer())
    site.centre.wait(lambda: site.centre.outcomes(command))
    process.kill()
    process.wait()
    site.centre.confirming = True
    site.start()
    site.centre.wait(lambda: len(site.centre.outcomes(command)) >= 2)
    outbox = site.folder / "state" / "outbox"
    site.centre.wait(lambda: not list(outbox.iterdir()))
    assert len({opened.id for opened in site.centre.heard if opened.message in site.centre.outcomes(command)}) == 1


def test_what_was_lost_on_the_way_down_is_made_good_by_the_next_heartbeat(site: Site) -> None:
    """The order and the go are lost here; claim and ready come again with every heartbeat."""
    site.start()
    site.centre.deaf = 2
    wanted = site.newer()
    command = site.centre.offer(wanted)
    site.centre.wait(lambda: site.centre.outcomes(command))
    assert site.centre.deaf == 0
    assert site.runs(wanted)


def test_a_cancel_before_the_go_leaves_the_container_alone(site: Site) -> None:
    site.centre.going = False
    site.start()
    before = site.engine.running()["web"]["Id"]
    command = site.centre.offer(site.newer())
    site.centre.wait(lambda: site.centre.said(Ready))
    site.centre.send(Cancel(command=command))
    site.centre.send(Go(command=command))
    told = len(site.centre.said(Snapshot))
    site.centre.send(SendSnapshot())
    site.centre.wait(lambda: len(site.centre.said(Snapshot)) > told)
    assert site.centre.outcomes(command) == []
    assert site.engine.running()["web"]["Id"] == before


def test_an_engine_that_is_away_is_told_and_waited_for(site: Site) -> None:
    site.engine.fail("*", EngineUnreachable("cannot reach it"), times=1_000_000)
    site.start()
    site.centre.wait(lambda: site.centre.said(Heartbeat))
    assert "engine-away: cannot reach it" in site.centre.said(Heartbeat)[0].facts.problems
    site.engine.heal()
    wanted = site.newer()
    command = site.centre.offer(wanted)
    site.centre.wait(lambda: site.centre.outcomes(command))
    assert site.runs(wanted)


def test_a_broker_that_was_killed_comes_back_to_an_agent_that_lives(site: Site, broker: EmbeddedBroker) -> None:
    process = site.start()
    site.centre.wait(lambda: site.centre.said(Heartbeat))
    os.kill(broker.pid, signal.SIGKILL)
    site.centre.wait(lambda: not broker.pid)
    broker.start()
    site.centre.let_in()
    wanted = site.newer()
    command = site.centre.offer(wanted)
    site.centre.wait(lambda: site.centre.outcomes(command))
    assert process.poll() is None
    assert site.runs(wanted)


def test_a_second_agent_in_the_same_state_is_refused(site: Site) -> None:
    first = site.start()
    site.centre.wait(lambda: site.centre.said(Heartbeat))
    assert site.start().wait(150) == 6
    assert "cannot run two agents" in site.log.read_text()
    assert first.poll() is None
    first.kill()
    first.wait()


def test_sigterm_lets_the_container_under_way_come_to_its_end(site: Site) -> None:
    process = site.start()
    wanted = site.newer()
    site.engine.behave("web", Behaviour(stop_takes_s=2.0))
    command = site.centre.offer(wanted)
    site.centre.wait(lambda: site.centre.said(Progress) and site.centre.said(Progress)[-1].phase != "pull")
    process.terminate()
    assert process.wait(150) == 0
    assert site.runs(wanted)
    site.centre.wait(lambda: site.centre.outcomes(command))


DEATHS = ("command:offered", "command:ordered", "command:going", "update:stop", "update:done")
OTHER_DEATHS = ("seen", "command:ready", "command:done", "update:create", "update:release", "update:swap")
LATE_DEATHS = ("update:start", "update:verify", "update:remove")
"""The rest, which test_work_interrupted and tests/updates go through in one process, with every fault of the engine."""


@pytest.mark.parametrize(
    "deaths", [DEATHS, *(pytest.param(deaths, marks=pytest.mark.full) for deaths in (OTHER_DEATHS, LATE_DEATHS))]
)
def test_killed_after_any_write_the_next_agent_tells_one_outcome(site: Site, deaths: tuple[str, ...]) -> None:
    """Whatever was written last before a kill -9, there is one outcome, and the container that it tells of runs."""
    process = site.start()
    for death in deaths:
        site.death.write_text(death)
        wanted = site.newer()
        command = site.centre.offer(wanted)
        process.wait(150)
        assert process.returncode == -signal.SIGKILL, death
        process = site.start()
        site.centre.wait(lambda: site.centre.outcomes(command))  # noqa: B023
        (result,) = {outcome.outcome.result for outcome in site.centre.outcomes(command)}
        ids = {opened.id for opened in site.centre.heard if opened.message in site.centre.outcomes(command)}
        assert len(ids) == 1, death
        assert site.runs(wanted) is (result is Result.UPDATED), f"{death}: {result}"
        assert result in (Result.UPDATED, Result.ROLLED_BACK, Result.FAILED), f"{death}: {result}"
