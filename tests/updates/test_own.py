"""The agent's own container: a stand-in takes the steps, whoever dies, and what cannot be gone on with is not begun."""

import json
import os
from pathlib import Path

import pytest

from fleet.errors import EngineUnreachable, Refused
from fleet.testing.engine_faults import KillNow, When
from fleet.updates import prepare
from fleet.updates.myself import own_id
from fleet.updates.outcome import Result
from fleet.updates.own import STAND_IN_LABEL, OwnOrder, OwnUpdate, carry_out
from tests.updates.site import COMMAND, UPDATE, Shape, Site, lives_in, restart

pytestmark = pytest.mark.usefixtures("quick_disk")
NAME = "web.fleet-stand-in"


class Scene:
    """A host whose container ``web`` is the agent, with its state in a folder that is mounted."""

    def __init__(self, folder: Path, *, mounted: str = "rw") -> None:
        binds = [f"{folder}:{folder}:{mounted}", "/run/engine.sock:/run/engine.sock"] if mounted else []
        host = {"HostConfig": restart("always")["HostConfig"] | {"Binds": binds, "NetworkMode": "host"}}
        self.site = site = Site(
            folder / "site", Shape(body=host | {"Healthcheck": {"Test": ["CMD", "fleet", "healthcheck"]}})
        )
        self.engine = site.engine
        self.own = OwnUpdate(folder / "state", site.old_id, ("python", "-m", "stand.in"))
        self.order = OwnOrder(command=COMMAND, target=site.target, policy=site.shape.policy, pull=site.pull)

    def stand_in_lives(self) -> None:
        """Let the stand-in's program run, and start again wherever it dies, as its engine does."""
        for _ in range(20):
            try:
                carry_out(self.engine, self.own.folder, self.site.clock)
                return
            except KillNow:
                continue
        raise AssertionError("no stand-in came to an end")

    def settled(self) -> Result:
        """Return the outcome's result once it was taken over, and nothing but the agent and the bystander is left."""
        outcome = self.own.outcome(self.order)
        assert outcome is not None
        self.own.forget(self.engine, self.order)
        assert self.own.pending() is None
        assert self.engine.names() == ["bystander", "web"]
        self.site.assert_promise(outcome)
        return outcome.result


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_an_agent_that_looks_takes_nothing_from_a_stand_in_that_writes(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written is half there for as long as the disk takes; the agent looks several times a second."""
    scene.own.hand_over(scene.engine, scene.order)
    synced = []

    def looks_meanwhile(descriptor: int) -> None:
        synced.append(descriptor)
        scene.own.outcome(scene.order)
        scene.own.hopeless(scene.engine, scene.order)

    monkeypatch.setattr(os, "fsync", looks_meanwhile)
    scene.stand_in_lives()
    assert synced
    assert scene.settled() is Result.UPDATED


def test_the_stand_in_is_the_agent_with_another_program(scene: Scene) -> None:
    scene.own.hand_over(scene.engine, scene.order)
    stand_in = scene.engine.running()[NAME]
    assert stand_in["Image"] == scene.site.old_image
    assert stand_in["Config"]["Entrypoint"] == ["python"]
    assert stand_in["Config"]["Cmd"] == ["-m", "stand.in", str(scene.own.folder), ""]
    assert stand_in["Config"]["Labels"] == {"fleet.ignore": "true", STAND_IN_LABEL: str(UPDATE)}
    assert stand_in["Config"]["Healthcheck"]["Test"] == ["NONE"]
    assert stand_in["HostConfig"]["Binds"] == scene.site.before["HostConfig"]["Binds"]
    assert stand_in["HostConfig"]["NetworkMode"] == "host"
    assert stand_in["HostConfig"]["RestartPolicy"]["Name"] == "always"
    assert scene.own.pending() == scene.order
    assert scene.own.outcome(scene.order) is None


def test_it_updates_the_agent_and_stays_ended(scene: Scene) -> None:
    scene.own.hand_over(scene.engine, scene.order)
    scene.stand_in_lives()
    stand_in = scene.engine.inspect(NAME)
    assert stand_in is not None
    assert stand_in["HostConfig"]["RestartPolicy"]["Name"] == "no"
    assert scene.settled() is Result.UPDATED


@pytest.mark.parametrize("when", When)
def test_wherever_the_stand_in_dies_one_agent_runs(when: When, tmp_path: Path) -> None:
    for number in range(60):
        scene = Scene(tmp_path / str(number))
        scene.own.hand_over(scene.engine, scene.order)
        scene.engine.fail("*", KillNow, after=number, when=when)
        scene.stand_in_lives()
        scene.engine.heal()
        assert scene.settled() in (Result.UPDATED, Result.ROLLED_BACK, Result.FAILED), number


def test_an_engine_that_is_away_is_waited_for(scene: Scene) -> None:
    scene.own.hand_over(scene.engine, scene.order)
    scene.engine.fail("inspect", EngineUnreachable, times=3)
    scene.stand_in_lives()
    assert scene.settled() is Result.UPDATED


def test_a_stand_in_that_is_gone_or_stopped_is_brought_again(scene: Scene) -> None:
    scene.own.hand_over(scene.engine, scene.order)
    scene.engine.stop(NAME)
    scene.own.see_to_stand_in(scene.engine, scene.order)
    scene.engine.remove(NAME, force=True)
    scene.own.see_to_stand_in(scene.engine, scene.order)
    scene.own.see_to_stand_in(scene.engine, scene.order)
    assert NAME in scene.engine.running()


def test_one_of_an_earlier_update_is_put_away(scene: Scene) -> None:
    scene.engine.run(NAME, "other:1")
    scene.own.hand_over(scene.engine, scene.order)
    assert scene.engine.running()[NAME]["Config"]["Labels"][STAND_IN_LABEL] == str(UPDATE)


@pytest.mark.parametrize("mounted", ["", "ro"])
def test_an_agent_whose_state_is_in_no_volume_is_left_alone(mounted: str, tmp_path: Path) -> None:
    """Nor one that it may only read."""
    scene = Scene(tmp_path, mounted=mounted)
    with pytest.raises(Refused, match="is in no volume"):
        scene.own.hand_over(scene.engine, scene.order)
    assert scene.own.pending() is None
    assert scene.engine.running()["web"] == scene.site.before


def test_a_stand_in_that_never_begins_is_given_up(scene: Scene) -> None:
    scene.own.hand_over(scene.engine, scene.order)
    assert scene.own.hopeless(scene.engine, scene.order) == ""
    scene.engine.world.must(NAME, "look at").restarts = 5
    assert "ends with code 0 whenever it is started" in scene.own.hopeless(scene.engine, scene.order)
    scene.stand_in_lives()
    assert scene.own.hopeless(scene.engine, scene.order) == ""


def test_where_the_engine_lost_the_present_image_the_new_one_stands_in(scene: Scene) -> None:
    del scene.engine.world.images.images[scene.site.old_image]
    scene.own.hand_over(scene.engine, scene.order)
    assert scene.engine.running()[NAME]["Image"] == scene.site.new_image


@pytest.mark.parametrize("kid", [False, True])
def test_nobody_stops_himself_from_within(kid: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither as what is updated, nor as one who goes with it."""
    site = Site(tmp_path, Shape(body=restart("always"), kids={"kid": lives_in("Network", "web")} if kid else {}))
    me = site.kids_before["kid"]["Id"] if kid else site.old_id
    monkeypatch.setattr(prepare, "own_id", lambda: me)
    outcome = site.update()
    assert outcome.result is Result.SKIPPED
    assert ("the agent itself lives in it" if kid else "it is the agent itself") in outcome.reason
    assert site.engine.running()["web"] == site.before


def test_who_is_not_the_agent_and_lends_it_nothing_is_updated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(tmp_path, Shape(body=restart("always"), kids={"kid": lives_in("Network", "web")}))
    monkeypatch.setattr(prepare, "own_id", lambda: site.engine.running()["bystander"]["Id"])
    assert site.update().result is Result.UPDATED


def test_a_damaged_order_is_none(scene: Scene) -> None:
    scene.own.hand_over(scene.engine, scene.order)
    (scene.own.folder / "order.json").write_text(json.dumps({"command": 1}))
    assert scene.own.pending() is None


@pytest.mark.parametrize(
    ("mounts", "found"),
    [
        ("36 35 98:0 /var/lib/docker/containers/{id}/resolv.conf /etc/resolv.conf rw - ext4 /dev/sda rw", True),
        ("36 35 98:0 /containers/{id}/hostname /etc/hostname rw - ext4 /dev/sdb rw", True),
        ("36 35 98:0 / / rw - ext4 /dev/sda rw", False),
    ],
)
def test_a_process_finds_its_container_by_its_mounts(mounts: str, found: bool, tmp_path: Path) -> None:
    container = "0123456789abcdef" * 4
    file = tmp_path / "mountinfo"
    file.write_text(mounts.format(id=container) + "\n")
    assert own_id(file) == (container if found else "")
    assert own_id(tmp_path / "nothing") == ""
