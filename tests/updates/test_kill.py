"""``kill -9`` of the agent at each journaled step, on a real engine: afterwards one of the two runs, told once."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from fleet.engine.protocol import Inspect
from fleet.images.digest import Digest
from fleet.images.reference import Reference
from fleet.updates.command import Target
from fleet.updates.execute import recover
from fleet.updates.journal import Journal, Stage
from fleet.updates.outcome import PullOutcome, Result, Tier
from tests.contracts.beds import RealBed, eventually, real_bed, run
from tests.updates.victim import COMMAND, ORDER

pytestmark = pytest.mark.lab
UPDATE = UUID(int=2)
ROOT = Path(__file__).parents[2]
STOPS_IN_S, STOPS_SLOWLY_IN_S = 0.5, 4.0
BEFORE_THE_POINT_OF_NO_RETURN = [Stage.CREATE, Stage.RELEASE, Stage.STOP, Stage.SWAP, Stage.START, Stage.VERIFY]


@pytest.fixture
def real(engines: dict[str, str]) -> Iterator[RealBed]:
    """Give the oldest engine, empty."""
    with real_bed(engines["20.10"]) as bed:
        yield bed


class Scene:
    """A container with data, and an order to update it."""

    def __init__(self, bed: RealBed, folder: Path, *, remove: bool = False, stops_in_s: float = STOPS_IN_S) -> None:
        self.bed, self.journal, self.order = bed, folder / "journal", folder / "order.json"
        slow = f"trap 'sleep {stops_in_s}; exit 0' TERM; while :; do sleep 1 & wait $!; done"
        bed.image("app:1", Volumes={"/data": {}}, Cmd=["sh", "-c", slow])
        fields = {"AutoRemove": True} if remove else {"RestartPolicy": {"Name": "always"}}
        self.before = run(bed, "web", "app:1", HostConfig=fields)
        self.volume = self.before["Mounts"][0]["Name"]
        bed.write(self.volume, "precious")
        self.new_image = bed.image("fresh:1", Volumes={"/data": {}})
        bed.engine.tag(self.new_image, "app", "1")
        self._write_order()

    def _write_order(self) -> None:
        digest = Digest.of(self.new_image.encode())
        target = Target(
            update_id=UPDATE,
            container_id=self.before["Id"],
            container="web",
            image_id=self.before["Image"],
            reference=Reference.parse("app:1"),
            digest=digest,
        )
        pull = PullOutcome(
            pull_id=UUID(int=3),
            reference="app:1",
            digest=str(digest),
            ok=True,
            tier=Tier.PRESENT,
            image_id=self.new_image,
        )
        self.order.write_bytes(ORDER.dump_json((target, pull)))

    def die_at(self, stage: Stage, delay_s: float = 0.0) -> None:
        """Let an agent carry the order out and die."""
        arguments = [self.bed.url, str(self.journal), str(self.order), f"update:{stage}", str(delay_s)]
        program = [sys.executable, "-m", "tests.updates.victim", *arguments]
        ended = subprocess.run(program, cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, timeout=90)
        assert ended.returncode == -signal.SIGKILL, ended.stderr

    def recovered(self) -> Result:
        """Let the next agent recover; return the one result, which a third agent tells too."""
        ((command, outcome),) = recover(self.bed.engine, Journal(self.journal), self.bed.clock)
        assert command == COMMAND
        assert recover(self.bed.engine, Journal(self.journal), self.bed.clock) == [(command, outcome)]
        Journal(self.journal).forget(UPDATE)
        assert recover(self.bed.engine, Journal(self.journal), self.bed.clock) == []
        return outcome.result

    def assert_runs(self, image: str) -> None:
        """Assert that one container is there, runs *image* and has the name, the policy and the data."""
        (only,) = self.bed.engine.container_ids(all=True)
        web = self.look(only)
        assert web["Name"] == "/web"
        assert web["Image"] == image
        assert web["State"]["Running"]
        assert web["HostConfig"]["RestartPolicy"] == self.before["HostConfig"]["RestartPolicy"]
        assert [mount["Name"] for mount in web["Mounts"]] == [self.volume]
        assert self.bed.read(self.volume) == "precious"

    def look(self, container: str) -> Inspect:
        """Return the inspect of a container that is there."""
        found = self.bed.engine.inspect(container)
        assert found is not None
        return found


@pytest.mark.parametrize("stage", BEFORE_THE_POINT_OF_NO_RETURN)
def test_killed_before_the_new_one_is_verified_the_old_one_runs(stage: Stage, real: RealBed, tmp_path: Path) -> None:
    scene = Scene(real, tmp_path)
    scene.die_at(stage)
    touched = stage not in (Stage.CREATE, Stage.RELEASE)
    assert scene.recovered() is (Result.ROLLED_BACK if touched else Result.FAILED)
    scene.assert_runs(scene.before["Image"])


@pytest.mark.parametrize("stage", [Stage.REMOVE, Stage.DONE])
def test_killed_after_that_the_new_one_runs(stage: Stage, real: RealBed, tmp_path: Path) -> None:
    scene = Scene(real, tmp_path)
    scene.die_at(stage)
    assert scene.recovered() is Result.UPDATED
    scene.assert_runs(scene.new_image)


@pytest.mark.parametrize("remove", [False, True], ids=["", "rm"])
def test_killed_while_the_engine_stops_the_old_one_it_runs_again(remove: bool, real: RealBed, tmp_path: Path) -> None:
    """The engine goes on with the stop; an old one that still runs when the next agent looks is about to end."""
    # A busy machine may take seconds from the kill to the look.
    scene = Scene(real, tmp_path, remove=remove, stops_in_s=STOPS_SLOWLY_IN_S)
    scene.die_at(Stage.STOP, 0.3)
    assert scene.look(scene.before["Id"])["State"]["Running"]
    assert scene.recovered() is Result.ROLLED_BACK
    real.clock.sleep(STOPS_SLOWLY_IN_S + 0.5)
    scene.assert_runs(scene.before["Image"])


@pytest.mark.parametrize("stage", [Stage.SWAP, Stage.VERIFY, Stage.REMOVE])
def test_killed_with_the_data_of_a_rm_container_it_is_kept(stage: Stage, real: RealBed, tmp_path: Path) -> None:
    """The old one is gone with its stop, and is made again from the journal, with its volume."""
    scene = Scene(real, tmp_path, remove=True)
    scene.die_at(stage)
    done = stage is Stage.REMOVE
    assert scene.recovered() is (Result.UPDATED if done else Result.ROLLED_BACK)
    eventually(real, "one container", lambda: len(real.engine.container_ids(all=True)) == 1)
    scene.assert_runs(scene.new_image if done else scene.before["Image"])
