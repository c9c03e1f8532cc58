"""On real engines: who lives in a network, process or memory namespace of another, or is linked to it, is alive in the new one."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from fleet.engine.protocol import Inspect
from fleet.images.digest import Digest
from fleet.images.reference import Reference
from fleet.updates.command import Target
from fleet.updates.execute import recover, recreate_target
from fleet.updates.journal import Journal, Stage
from fleet.updates.outcome import PullOutcome, Result, Tier
from tests.contracts.beds import RealBed, real_bed, run
from tests.lab.engines import Generation
from tests.updates.victim import COMMAND, ORDER, POLICY

pytestmark = pytest.mark.lab
ROOT = Path(__file__).parents[2]
ALWAYS: dict[str, Any] = {"RestartPolicy": {"Name": "always"}}
KIDS: dict[str, dict[str, Any]] = {
    "in-network": {"NetworkMode": "container:vpn"},
    "in-processes": {"PidMode": "container:vpn"},
    "linked": {"Links": ["vpn:tunnel"]},
}
LIVES_IN = {"in-network": "net", "in-processes": "pid"}


@pytest.fixture(params=[Generation.V20, pytest.param(Generation.V29, marks=pytest.mark.full)])
def real(request: pytest.FixtureRequest, engines: dict[str, str]) -> Iterator[RealBed]:
    """Give an engine, empty."""
    with real_bed(engines[request.param]) as bed:
        yield bed


class Scene:
    """A lender with those who live with it, and an order to update it."""

    def __init__(self, bed: RealBed, folder: Path) -> None:
        self.bed, self.journal, self.order = bed, folder / "journal", folder / "order.json"
        bed.image("vpn:1")
        bed.image("kid:1")
        self.before = run(bed, "vpn", "vpn:1", HostConfig=ALWAYS)
        self.kids = {name: run(bed, name, "kid:1", HostConfig=ALWAYS | host) for name, host in KIDS.items()}
        self.new_image = bed.image("fresh:1")
        bed.engine.tag(self.new_image, "vpn", "1")
        digest = Digest.of(self.new_image.encode())
        self.target = Target(
            update_id=UUID(int=2),
            container_id=self.before["Id"],
            container="vpn",
            image_id=self.before["Image"],
            reference=Reference.parse("vpn:1"),
            digest=digest,
        )
        self.pull = PullOutcome(
            pull_id=UUID(int=3),
            reference="vpn:1",
            digest=str(digest),
            ok=True,
            tier=Tier.PRESENT,
            image_id=self.new_image,
        )
        self.order.write_bytes(ORDER.dump_json((self.target, self.pull)))

    def look(self, container: str) -> Inspect:
        """Return the inspect of a container that is there."""
        found = self.bed.engine.inspect(container)
        assert found is not None
        return found

    def namespace(self, container: str, kind: str = "") -> str:
        """Return the identity of the namespace that a container lives in."""
        place = f"/proc/self/ns/{kind or LIVES_IN[container]}"
        told = self.bed.engine.execute(container, ["/bin/busybox", "readlink", place], user="0", timeout_s=60)
        assert told.code == 0, told
        return told.output

    def assert_all_live(self, image: str) -> None:
        """Assert that each runs once, in what the one container of the lender lends now."""
        assert len(self.bed.engine.container_ids(all=True)) == 1 + len(KIDS)
        vpn = self.look("vpn")
        assert vpn["Image"] == image
        assert vpn["State"]["Running"]
        for name, before in self.kids.items():
            kid = self.look(name)
            assert kid["State"]["Running"], name
            assert kid["Image"] == before["Image"]
            assert kid["Config"]["Image"] == "kid:1"
            assert kid["HostConfig"]["RestartPolicy"] == before["HostConfig"]["RestartPolicy"]
            if name in LIVES_IN:
                field = "NetworkMode" if LIVES_IN[name] == "net" else "PidMode"
                assert kid["HostConfig"][field] == f"container:{vpn['Id']}"
                assert self.namespace(name) == self.namespace("vpn", LIVES_IN[name])
        assert self.look("linked")["HostConfig"]["Links"] == ["/vpn:/linked/tunnel"]


def test_they_live_in_the_new_one(real: RealBed, tmp_path: Path) -> None:
    scene = Scene(real, tmp_path)
    outcome = recreate_target(
        real.engine, Journal(scene.journal), scene.target, POLICY, scene.pull, command_id=COMMAND, clock=real.clock
    )
    assert outcome.result is Result.UPDATED, outcome.reason
    assert set(outcome.reason.removeprefix("recreated with it: ").split(", ")) == set(KIDS)
    scene.assert_all_live(scene.new_image)


@pytest.mark.parametrize("stage", [Stage.RELEASE, Stage.SWAP, Stage.VERIFY, Stage.REMOVE])
def test_killed_in_the_middle_all_live_in_one_of_the_two(stage: Stage, real: RealBed, tmp_path: Path) -> None:
    scene = Scene(real, tmp_path)
    program = [sys.executable, "-m", "tests.updates.victim", real.url, str(scene.journal), str(scene.order)]
    ended = subprocess.run(
        [*program, f"update:{stage}", "0"], cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, timeout=90
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    ((_, outcome),) = recover(real.engine, Journal(scene.journal), real.clock)
    assert (outcome.result is Result.UPDATED) == (stage is Stage.REMOVE), outcome
    scene.assert_all_live(scene.new_image if stage is Stage.REMOVE else scene.before["Image"])
