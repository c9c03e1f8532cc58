"""On real engines: an agent in a container has its own container updated, and its stand-in may be killed in the middle."""

import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from fleet.engine.protocol import Inspect
from fleet.images.digest import Digest
from fleet.images.reference import Reference
from fleet.updates.command import Policy, Target, VerifyPolicy
from fleet.updates.journal import Stage
from fleet.updates.outcome import PullOutcome, Result, Tier, UpdateOutcome
from fleet.updates.own import OwnOrder
from tests.contracts.beds import RealBed, eventually, real_bed, run
from tests.lab.engines import Generation
from tests.updates.own_agent import OUTCOME, TODO

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]
ROOT = Path(__file__).parents[2]
NEVER = "never"
PYTHON = (Path(sys.executable).resolve().parents[1], ROOT, Path("/usr"), Path("/lib"), Path("/lib64"))
"""What Python needs to run in a container that has nothing but busybox."""


@pytest.fixture(params=[Generation.V20, pytest.param(Generation.V29, marks=pytest.mark.full)])
def real(request: pytest.FixtureRequest, engines: dict[str, str]) -> Iterator[RealBed]:
    """Give an engine, empty."""
    with real_bed(engines[request.param]) as bed:
        yield bed


class Scene:
    """An agent in a container, with its state and the engine's socket mounted."""

    def __init__(self, bed: RealBed, folder: Path, step: str) -> None:
        self.bed, self.state = bed, folder / "state"
        self.state.mkdir()
        program = [sys.executable, "-m", "tests.updates.own_agent", str(self.state), bed.url, step]
        bed.image("agent:1", Cmd=program)
        socket = Path(bed.url.removeprefix("unix://")).parent
        binds = [f"{self.state}:{self.state}", f"{socket}:{socket}", *(f"{place}:{place}:ro" for place in PYTHON)]
        self.before = run(
            bed,
            "agent",
            "agent:1",
            Env=[f"PYTHONPATH={ROOT}", "PYTHONDONTWRITEBYTECODE=1"],
            HostConfig={"Binds": binds, "NetworkMode": "host", "RestartPolicy": {"Name": "unless-stopped"}},
        )
        eventually(bed, "a look of the agent", lambda: (self.state / f"agent-{self.before['Id'][:12]}").exists())
        self.program = program

    def order(self, new_image: str) -> None:
        """Have the agent update itself to *new_image*."""
        self.bed.engine.tag(new_image, "agent", "1")
        digest = Digest.of(new_image.encode())
        target = Target(
            update_id=UUID(int=2),
            container_id=self.before["Id"],
            container="agent",
            image_id=self.before["Image"],
            reference=Reference.parse("agent:1"),
            digest=digest,
        )
        pull = PullOutcome(
            pull_id=UUID(int=3), reference="agent:1", digest=str(digest), ok=True, tier=Tier.PRESENT, image_id=new_image
        )
        policy = Policy(verify=VerifyPolicy(settle_ms=1_500, deadline_ms=90_000))
        told = TODO.dump_json(OwnOrder(command=UUID(int=1), target=target, policy=policy, pull=pull))
        (self.state / "todo.tmp").write_bytes(told)
        (self.state / "todo.tmp").rename(self.state / "todo.json")

    def outcome(self) -> UpdateOutcome:
        """Return what the agent that is there in the end wrote down; assert that it is alone then."""
        told = self.state / "outcome.json"
        eventually(self.bed, "the outcome", lambda: told.exists() and told.read_bytes().endswith(b"}"))
        eventually(self.bed, "the stand-in's end", lambda: len(self.bed.engine.container_ids(all=True)) == 1)
        return OUTCOME.validate_json(told.read_bytes())

    def assert_runs(self, image: str) -> Inspect:
        """Assert that the agent runs as before, with *image*, and that its program does."""
        agent = self.bed.engine.inspect("agent")
        assert agent is not None
        assert agent["Image"] == image
        assert agent["State"]["Running"]
        assert agent["HostConfig"]["RestartPolicy"] == self.before["HostConfig"]["RestartPolicy"]
        assert (self.state / f"agent-{agent['Id'][:12]}").exists()
        return agent


@pytest.mark.parametrize("step", [NEVER, Stage.SWAP, Stage.VERIFY, Stage.REMOVE])
def test_an_agent_updates_itself_though_its_stand_in_is_killed(step: str, real: RealBed, tmp_path: Path) -> None:
    scene = Scene(real, tmp_path, step)
    new = real.image("fresh:1", Cmd=scene.program)
    scene.order(new)
    outcome = scene.outcome()
    done = step in (NEVER, Stage.REMOVE)
    assert outcome.result is (Result.UPDATED if done else Result.ROLLED_BACK), outcome.reason
    agent = scene.assert_runs(new if done else scene.before["Image"])
    assert (agent["Id"] == scene.before["Id"]) != done


def test_a_new_agent_that_does_not_stay_up_goes_and_the_old_one_tells(real: RealBed, tmp_path: Path) -> None:
    scene = Scene(real, tmp_path, NEVER)
    scene.order(real.image("broken:1", Cmd=["sh", "-c", "exit 3"]))
    outcome = scene.outcome()
    assert outcome.result is Result.ROLLED_BACK
    assert "it exited with code 3" in outcome.reason or "restarted" in outcome.reason
    assert scene.assert_runs(scene.before["Image"])["Id"] == scene.before["Id"]
