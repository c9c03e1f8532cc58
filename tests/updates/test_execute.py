"""One target taken to its end: the preconditions, the outcomes, and what stands in the way."""

from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from fleet.errors import EngineError, EngineUnreachable
from fleet.images.reference import Reference
from fleet.testing.engine_faults import ANY, KillNow, When
from fleet.testing.engine_images import Behaviour
from fleet.updates import execute
from fleet.updates.execute import recover, recreate_target
from fleet.updates.journal import Journal, Stage
from fleet.updates.outcome import Result, UpdateOutcome
from fleet.updates.prepare import UNKNOWN_IMAGE
from fleet.updates.rollback import STEADY_S
from fleet.updates.run import Run
from tests.updates.site import COMMAND, SHAPES, UPDATE, Shape, Site, engine_says_no, restart

pytestmark = pytest.mark.usefixtures("quick_disk")


def test_an_update_tells_what_it_did(site: Site) -> None:
    outcome = site.update()
    assert outcome.result is Result.UPDATED
    assert outcome.reason == ""
    assert outcome.old_container_id == site.old_id
    assert outcome.new_container_id == site.engine.running()["web"]["Id"]
    assert (outcome.old_image_id, outcome.new_image_id) == (site.old_image, site.new_image)
    assert outcome.downtime_ms is not None
    assert outcome.phases.verify_ms is not None
    assert outcome.phases.verify_ms >= 2_000
    assert outcome.phases.rollback_ms is None


@pytest.mark.parametrize("shape", ["a new one that exits", "start first, a new one that gets unhealthy"])
def test_what_was_taken_back_tells_what_would_have_changed(shape: str, tmp_path: Path) -> None:
    """Often it is the reason."""
    shown = replace(SHAPES[shape], old_config={"Env": ["A=1"]}, new_config={"Env": ["A=2", "B=3"], "User": "app"})
    outcome = Site(tmp_path, shown).update()
    assert outcome.result in (Result.ROLLED_BACK, Result.FAILED)
    assert outcome.config_diff == ("Config.Env.A: changed", "Config.Env.B: unset -> set", 'Config.User: unset -> "app"')


def test_the_old_one_runs_until_the_new_one_was_created(site: Site) -> None:
    site.update()
    calls = [call.name for call in site.engine.calls]
    assert calls.index("create") < calls.index("set_restart_policy") < calls.index("stop") < calls.index("rename")
    assert calls.index("rename") < calls.index("start") < calls.index("remove")


def test_a_spec_that_the_engine_refuses_touches_nothing(site: Site) -> None:
    site.engine.fail("create", EngineError("cannot create container: no such device", status=500))
    outcome = site.update()
    assert outcome.result is Result.FAILED
    assert "no such device" in outcome.reason
    assert outcome.downtime_ms is None
    assert site.engine.running()["web"] == site.before


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("cannot pull app:1: no source has it", "cannot pull app:1: no source has it"),
        ("", "cannot update web: its image was not pulled"),
    ],
)
def test_a_failed_pull_touches_nothing(reason: str, told: str, site: Site) -> None:
    pull = replace(site.pull, ok=False, reason=reason)
    outcome = recreate_target(
        site.engine, Journal(site.path), site.target, site.shape.policy, pull, command_id=COMMAND, clock=site.clock
    )
    assert (outcome.result, outcome.reason) == (Result.FAILED, told)
    assert site.engine.calls == []


def test_a_container_on_the_image_already_is_current(site: Site) -> None:
    site.update()
    web = site.engine.running()["web"]
    target = replace(site.target, container_id=web["Id"], update_id=UUID(int=9))
    outcome = recreate_target(
        site.engine, Journal(site.path), target, site.shape.policy, site.pull, command_id=COMMAND, clock=site.clock
    )
    assert outcome.result is Result.ALREADY_CURRENT
    assert site.engine.running()["web"]["Id"] == web["Id"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda site: site.engine.remove("web", force=True), "it is not there any more"),
        (lambda site: site.engine.rename("web", "www"), "it is named www now"),
        (lambda site: site.engine.stop("web"), "only running containers are updated"),
    ],
)
def test_a_precondition_that_fails_is_a_skip(change: object, reason: str, site: Site) -> None:
    change(site)  # type: ignore[operator]
    outcome = site.update()
    assert outcome.result is Result.SKIPPED
    assert outcome.reason.startswith("cannot update web: ")
    assert reason in outcome.reason


def test_a_probe_that_cannot_be_read_touches_nothing(tmp_path: Path) -> None:
    site = Site(tmp_path, Shape(body={"Labels": {"fleet.probe.tcp": "http"}}))
    outcome = site.update()
    assert outcome.result is Result.SKIPPED
    assert "cannot read the label fleet.probe.tcp" in outcome.reason
    assert site.engine.running()["web"] == site.before


def test_an_image_that_was_retagged_meanwhile_is_not_run(site: Site) -> None:
    """Somebody else's pull moved the name: what the name means now was not verified."""
    site.engine.add_image("app:1", Labels={"whose": "another's"})
    outcome = site.update()
    assert outcome.result is Result.FAILED
    assert "does not name the image that was pulled" in outcome.reason
    assert site.engine.running()["web"] == site.before
    assert site.engine.names() == ["bystander", "web"]


def test_the_same_update_taken_again_has_the_same_outcome(site: Site) -> None:
    first = site.update()
    calls = len(site.engine.calls)
    assert site.update() == first
    assert len(site.engine.calls) == calls


def test_a_new_one_that_restarts_is_rolled_back(tmp_path: Path) -> None:
    site = Site(tmp_path, SHAPES["a new one that exits"])
    outcome = site.update()
    assert outcome.result is Result.ROLLED_BACK
    assert "exited with code 3" in outcome.reason or "restarted" in outcome.reason
    assert outcome.downtime_ms is not None
    assert outcome.new_container_id == ""


def test_an_engine_that_stays_away_leaves_the_record_open(site: Site) -> None:
    site.engine.fail("start", EngineUnreachable, when=When.LATE)
    site.engine.fail("ping", EngineUnreachable, times=1_000)
    with pytest.raises(EngineUnreachable):
        site.update()
    (entry,) = Journal(site.path).updates()
    assert entry.stage is Stage.UNDO
    site.engine.heal()
    ((_, outcome),) = recover(site.engine, Journal(site.path), site.clock)
    assert outcome.result is Result.ROLLED_BACK
    site.assert_promise(outcome)


@pytest.mark.parametrize("call", ["create", "stop", "start"])
def test_an_agent_that_ended_in_the_middle_says_so_by_a_field(site: Site, call: str) -> None:
    site.engine.fail(call, KillNow)
    with pytest.raises(KillNow):
        site.update()
    (outcome,) = results(site)
    assert outcome.interrupted
    assert outcome.result is (Result.FAILED if call == "create" else Result.ROLLED_BACK)
    site.assert_promise(outcome)


def test_one_that_ended_once_more_on_the_way_back_says_so_still(site: Site) -> None:
    site.engine.fail("start", KillNow, times=2)
    for again in (site.update, lambda: results(site)):
        with pytest.raises(KillNow):
            again()
    (outcome,) = results(site)
    assert (outcome.result, outcome.interrupted) == (Result.ROLLED_BACK, True)


def test_one_that_ended_on_the_way_back_from_a_broken_image_blames_the_image(site: Site) -> None:
    site.engine.world.images.images[site.new_image].behaviour = Behaviour(start_error="exec: not found")
    site.engine.fail("start", KillNow, after=1)
    with pytest.raises(KillNow):
        site.update()
    (outcome,) = results(site)
    assert (outcome.result, outcome.interrupted) == (Result.ROLLED_BACK, False)
    assert "exec: not found" in outcome.reason


def test_what_went_well_after_the_end_of_an_agent_is_not_interrupted(site: Site) -> None:
    site.engine.fail("remove", KillNow)
    with pytest.raises(KillNow):
        site.update()
    (outcome,) = results(site)
    assert (outcome.result, outcome.interrupted) == (Result.UPDATED, False)


def test_a_way_back_that_fails_is_told_and_the_new_one_is_gone(site: Site) -> None:
    site.engine.behave("web", Behaviour(start_error="no such device"))
    site.engine.world.images.images[site.new_image].behaviour = Behaviour(start_error="exec: not found")
    outcome = site.update()
    assert outcome.result is Result.ROLLBACK_FAILED
    assert "exec: not found" in outcome.reason
    assert "no such device" in outcome.reason
    assert site.engine.names() == ["bystander", "web"]
    web = site.engine.inspect("web")
    assert web is not None
    assert web["Id"] == site.old_id
    assert web["HostConfig"]["RestartPolicy"]["Name"] == "always"


def test_an_engine_that_says_no_for_a_while_is_tried_again(site: Site) -> None:
    site.engine.world.images.images[site.new_image].behaviour = Behaviour(start_error="exec: not found")
    site.engine.fail("rename", engine_says_no, after=2, times=2)
    outcome = site.update()
    assert outcome.result is Result.ROLLED_BACK
    site.assert_promise(outcome)


def test_a_name_that_begins_like_an_id_finds_nobody_else(tmp_path: Path) -> None:
    """To the engine ``4b`` is also the beginning of an id: the wrong container must not be taken for the lost one."""
    site = Site(tmp_path, SHAPES["rm, a new one that cannot start"])
    bystander = site.engine.running()["bystander"]["Id"]
    site.engine.rename("web", bystander[:2])
    target = replace(site.target, container=bystander[:2])
    outcome = recreate_target(
        site.engine, Journal(site.path), target, site.shape.policy, site.pull, command_id=COMMAND, clock=site.clock
    )
    assert outcome.result is Result.ROLLED_BACK, outcome.reason
    running = site.engine.running()
    assert set(running) == {bystander[:2], "bystander"}
    assert running["bystander"]["Id"] == bystander


def test_another_container_that_took_the_name_is_left_alone(site: Site) -> None:
    """Fleet does not fight: a person who made another one under the name is told of, not overrun."""
    site.engine.fail("start", KillNow)
    with pytest.raises(KillNow):
        site.update()
    site.engine.remove("web", force=True)
    site.engine.run("web", "other:1")
    ((_, outcome),) = recover(site.engine, Journal(site.path), site.clock)
    assert outcome.result is Result.ROLLBACK_FAILED
    assert "which another container" in outcome.reason
    running = site.engine.running()
    assert running["web"]["Config"]["Image"] == "other:1"
    assert set(running) == {"web", "bystander"}


def test_one_record_that_cannot_be_ended_does_not_keep_the_others(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.engine.fail("start", KillNow)
    with pytest.raises(KillNow):
        site.update()
    journal = Journal(site.path)
    entry = journal.update(UPDATE)
    assert entry is not None
    broken = replace(entry, target=replace(entry.target, update_id=UUID(int=1)), old={}, new_id="f" * 64)
    journal.save(broken)
    ended = {outcome.update_id: outcome for _, outcome in recover(site.engine, journal, site.clock)}
    assert ended[UPDATE].result is Result.ROLLED_BACK
    assert ended[UUID(int=1)].result in (Result.ROLLBACK_FAILED, Result.FAILED)


def test_what_could_not_be_removed_is_removed_by_the_next_start(site: Site) -> None:
    site.engine.fail("remove", engine_says_no, times=3)
    outcome = site.update()
    assert outcome.result is Result.UPDATED
    assert outcome.reason.startswith("left over: ")
    assert len(site.engine.names()) == 3
    site.assert_tidy()


def test_with_start_first_what_ended_and_could_not_be_removed_is_left_over_too(tmp_path: Path) -> None:
    site = Site(tmp_path, SHAPES["start first"])
    site.engine.fail("remove", engine_says_no, times=3)
    outcome = site.update()
    assert outcome.result is Result.UPDATED, outcome
    assert outcome.reason.startswith("left over: ")
    site.assert_tidy()


def test_a_new_one_that_failed_is_told_to_end_before_it_is_removed(tmp_path: Path) -> None:
    site = Site(tmp_path, SHAPES["a new one that gets unhealthy"])
    site.update()
    started = next(call.arguments[0] for call in site.engine.calls if call.name == "start")
    acts = [(call.name, call.arguments[0]) for call in site.engine.calls if call.name in ("stop", "remove")]
    assert started != site.old_id
    assert acts.index(("stop", started)) < acts.index(("remove", started))


@pytest.mark.parametrize("shape", ["a new one that exits", "rm, a new one that cannot start"])
def test_the_way_back_takes_one_look_more_and_no_second_try(shape: str, tmp_path: Path) -> None:
    outcome = Site(tmp_path, SHAPES[shape]).update()
    assert (outcome.result, outcome.phases.rollback_ms) == (Result.ROLLED_BACK, STEADY_S * 1000)


def test_what_differs_only_while_it_runs_is_told_as_well(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    start = site.engine.start

    def grows(container: str) -> None:
        site.engine.world.must(container, "change").host["ShmSize"] = 1
        start(container)

    monkeypatch.setattr(site.engine, "start", grows)
    assert "HostConfig.ShmSize: 67108864 -> 1" in site.update().config_diff


def test_a_create_that_ends_after_its_agent_gave_up_leaves_nothing(site: Site) -> None:
    site.engine.fail("create", EngineUnreachable, when=When.LATE, late_s=30)
    outcome = site.update()
    assert outcome.result is Result.FAILED
    site.clock.advance(60)
    assert len(site.engine.names()) == 3
    site.assert_tidy()


def test_an_old_image_that_the_engine_lost_is_known_from_before(tmp_path: Path) -> None:
    """Containerd's store forgets an image whose name was moved by a pull; its settings must not stick."""
    old = {"Env": ["PATH=/bin", "VERSION=1"], "Cmd": ["serve", "--old"], "Entrypoint": ["/old"]}
    new = {"Env": ["PATH=/bin", "VERSION=2"], "Cmd": ["serve", "--new"], "Entrypoint": ["/new"]}
    site = Site(tmp_path, Shape(body=restart("always"), old_config=old, new_config=new))
    image = site.engine.image(site.old_image)
    assert image is not None
    Journal(site.path).images.put(image)
    del site.engine.world.images.images[site.old_image]
    outcome = site.update()
    assert outcome.result is Result.UPDATED
    config = site.engine.running()["web"]["Config"]
    assert (config["Entrypoint"], config["Cmd"]) == (["/new"], ["serve", "--new"])
    assert "VERSION=2" in config["Env"]
    assert UNKNOWN_IMAGE not in outcome.config_diff


def test_an_old_image_that_nobody_knows_is_told(tmp_path: Path) -> None:
    """Then every setting is kept, and the outcome says so."""
    site = Site(tmp_path, Shape(old_config={"Cmd": ["serve", "--old"]}, new_config={"Entrypoint": ["/new"]}))
    del site.engine.world.images.images[site.old_image]
    outcome = site.update()
    assert outcome.config_diff[0] == UNKNOWN_IMAGE
    config = site.engine.running()["web"]["Config"]
    assert (config["Entrypoint"], config["Cmd"]) == (None, ["serve", "--old"])


def test_a_rm_container_is_made_again_without_the_images_entrypoint_that_its_user_took_away(tmp_path: Path) -> None:
    body = {"Entrypoint": [""], "Cmd": ["serve"], "HostConfig": {"AutoRemove": True}}
    site = Site(
        tmp_path,
        Shape(body=body, old_config={"Entrypoint": ["/old"]}, new=Behaviour(start_error="no"), good=False),
    )
    outcome = site.update()
    assert outcome.result is Result.ROLLED_BACK
    assert site.engine.running()["web"]["Config"]["Entrypoint"] is None


def test_making_a_rm_container_again_leaves_the_name_with_the_new_image(tmp_path: Path) -> None:
    """The next target of the same image on this host is created by that name."""
    site = Site(tmp_path, SHAPES["rm, a new one that cannot start"])
    assert site.update().result is Result.ROLLED_BACK
    named = site.engine.image("app:1")
    assert named is not None
    assert named["Id"] == site.new_image


def test_a_reference_without_a_tag_stays_as_the_user_wrote_it(site: Site) -> None:
    site.engine.add_image("plain", Labels={"v": "1"})
    old = site.engine.run("third", "plain")
    new = site.engine.add_image("plain", Labels={"v": "2"})
    inspect = site.engine.inspect(old)
    assert inspect is not None
    target = replace(
        site.target,
        container="third",
        container_id=old,
        image_id=inspect["Image"],
        reference=Reference.parse("docker.io/library/plain:latest"),
    )
    pull = replace(site.pull, image_id=new.id)
    outcome = recreate_target(
        site.engine, Journal(site.path), target, site.shape.policy, pull, command_id=COMMAND, clock=site.clock
    )
    assert outcome.result is Result.UPDATED
    assert site.engine.running()["third"]["Config"]["Image"] == "plain"


def test_a_bug_in_a_step_is_rolled_back_too(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(container: str, name: str) -> None:
        raise ZeroDivisionError("a bug")

    with monkeypatch.context() as patched:
        patched.setattr(site.engine, "rename", broken)
        outcome = site.update()
    assert outcome.result is Result.ROLLED_BACK
    assert outcome.reason == "cannot update web: ZeroDivisionError: a bug"


def results(site: Site) -> list[UpdateOutcome]:
    """Return what the journal's records came to."""
    return [outcome for _, outcome in recover(site.engine, Journal(site.path), site.clock)]


def test_a_verified_one_stays_although_the_agent_died_then(site: Site) -> None:
    site.engine.fail("remove", KillNow)
    with pytest.raises(KillNow):
        site.update()
    site.engine.fail(ANY, KillNow, after=10_000)
    (outcome,) = results(site)
    assert outcome.result is Result.UPDATED
    site.assert_promise(outcome)
    site.assert_tidy()


def test_a_verified_one_that_somebody_replaced_since_is_over(site: Site) -> None:
    """``compose up`` made another one while no agent ran: the update went well, and what runs now is not Fleet's."""
    site.engine.fail("remove", KillNow)
    with pytest.raises(KillNow):
        site.update()
    site.engine.heal()
    site.engine.remove("web", force=True)
    theirs = site.engine.run("web", "app:1", Labels={"whose": "compose"})
    (outcome,) = results(site)
    assert outcome.result is Result.UPDATED
    assert site.engine.running()["web"]["Id"] == theirs
    assert site.engine.names() == ["bystander", "web"]


def test_what_another_agent_is_updating_is_left_to_it(site: Site) -> None:
    """It may have taken the restart policy off already; what comes of both would be a container without one."""
    other = "web.fleet-new-0badcafe"
    site.engine.run(other, "other:1")
    outcome = site.update()
    assert outcome.result is Result.SKIPPED
    assert f"another agent is at it, as {other} shows" in outcome.reason
    assert site.engine.running()["web"] == site.before


def test_a_new_one_that_is_removed_once_it_was_verified_brings_the_old_one_back(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``docker compose up`` does so where it finds two of one service; then the old one is all there is."""

    def taken_away(run: Run) -> str:
        run.engine.remove(run.entry.new_id, force=True)
        return ""

    monkeypatch.setattr(execute, "run_after", taken_away)
    outcome = site.update()
    assert outcome.result is Result.ROLLED_BACK
    assert "somebody removed it once it was verified" in outcome.reason
    site.assert_promise(outcome)
    site.assert_tidy()


def test_a_new_one_that_is_removed_with_the_old_one_leaves_not_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old one is made again as it was, by what was written down of it."""

    def both_gone(run: Run) -> str:
        for container in (run.entry.new_id, run.target.container_id):
            run.engine.remove(container, force=True)
        return ""

    monkeypatch.setattr(execute, "finish", both_gone)
    outcome = site.update()
    assert outcome.result is Result.ROLLED_BACK
    site.assert_promise(outcome)
    site.assert_tidy()
