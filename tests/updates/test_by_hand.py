"""Who restarts, pauses or changes a container in the middle of its update, or takes its name, meets an update that bears it."""

from pathlib import Path

import pytest

from fleet.engine.protocol import CreateSpec
from fleet.errors import EngineError, EngineUnreachable
from fleet.updates.execute import recover
from fleet.updates.journal import Journal
from fleet.updates.outcome import Result
from fleet.updates.owed import OWED_FOR_S, pay
from tests.updates.meddled import Meddle, Meddled, after, called, once, restart
from tests.updates.site import SHAPES, Site, engine_says_no

pytestmark = pytest.mark.usefixtures("quick_disk")
SETTLE_MS = 2_000


def restart_at_once(site: Site) -> None:
    """Restart the container that has the name, if it runs."""
    if any(one.name == "web" and one.running for one in site.engine.world.containers.values()):
        restart(site)


def test_one_restart_by_hand_has_the_new_one_prove_itself_anew(site: Site) -> None:
    began = site.clock.monotonic()
    Meddled(site, once("inspect", 9), restart)
    outcome = site.update()
    assert outcome.result is Result.UPDATED, outcome.reason
    assert outcome.phases.verify_ms is not None
    assert outcome.phases.verify_ms > SETTLE_MS
    assert site.clock.monotonic() - began < 2 * SETTLE_MS / 1000 + 1
    site.assert_promise(outcome)


@pytest.mark.parametrize("shape", ["plain", "always, anonymous data", "unless-stopped, probed", "a new one that exits"])
def test_restarts_without_end_leave_the_old_one_running_under_its_name(shape: str, tmp_path: Path) -> None:
    """And nobody is called for it: ``rollback_failed`` would be a lie."""
    site = Site(tmp_path, SHAPES[shape])
    Meddled(site, lambda name, at: name == "inspect", restart_at_once)
    outcome = site.update()
    assert outcome.result is Result.ROLLED_BACK, outcome.reason
    if shape != "a new one that exits":
        assert "somebody restarts it again and again" in outcome.reason
    assert called(site).id == site.old_id
    assert called(site).running


@pytest.mark.parametrize("away_s", [0, 6])
def test_an_engine_that_is_restarted_while_the_new_one_proves_itself_is_waited_for(away_s: int, site: Site) -> None:
    """Its packages are upgraded just then: that says nothing against the new image."""

    def upgrade(site: Site) -> None:
        site.engine.restart()
        site.engine.fail("inspect", EngineUnreachable("cannot inspect: no answer"), times=2 * away_s)

    Meddled(site, once("inspect", 9), upgrade)
    outcome = site.update()
    assert outcome.result is Result.UPDATED, outcome.reason
    site.assert_promise(outcome)


def test_an_engine_that_stays_away_is_not_waited_for_without_end(site: Site) -> None:
    def end(site: Site) -> None:
        site.engine.fail("inspect", EngineUnreachable("cannot inspect: no answer"), times=62)

    Meddled(site, once("inspect", 9), end)
    outcome = site.update()
    assert (outcome.result, outcome.reason) == (Result.ROLLED_BACK, "cannot inspect: no answer")
    site.assert_promise(outcome)


def test_while_it_is_paused_the_new_one_proves_nothing(site: Site) -> None:
    def pause(site: Site) -> None:
        called(site).paused = True

    Meddled(site, after("start"), pause)
    outcome = site.update()
    assert outcome.result is Result.ROLLED_BACK
    assert outcome.reason == "cannot see the new container run within 10 s: somebody paused it"
    site.assert_promise(outcome)


def test_one_that_goes_on_after_a_pause_has_its_whole_time_to_prove_itself(site: Site) -> None:
    paused_at: list[float] = []

    def pause_for_a_while(site: Site) -> None:
        paused_at.append(site.clock.monotonic())
        called(site).paused = paused_at[-1] - paused_at[0] < 3

    started: list[bool] = []

    def when(name: str, at: int) -> bool:
        started.extend([True] * (name == "start"))
        return name == "inspect" and bool(started)

    Meddled(site, when, pause_for_a_while)
    outcome = site.update()
    assert outcome.result is Result.UPDATED, outcome.reason
    assert outcome.phases.verify_ms is not None
    assert outcome.phases.verify_ms >= 3_000 + SETTLE_MS - 250


@pytest.mark.parametrize("shape", ["always, anonymous data", "start first", "plain"])
def test_what_somebody_changes_before_it_is_touched_is_not_lost(shape: str, tmp_path: Path) -> None:
    site = Site(tmp_path, SHAPES[shape])

    def limit(site: Site) -> None:
        called(site).host["CpuShares"] = 512

    Meddled(site, once("create"), limit)
    outcome = site.update()
    assert outcome.result is Result.SKIPPED
    assert (
        outcome.reason
        == "cannot update web: somebody changed it meanwhile (HostConfig.CpuShares: unset -> 512); plan again"
    )
    web = called(site)
    assert (web.id, web.running, web.host["CpuShares"]) == (site.old_id, True, 512)
    site.assert_tidy()


def test_what_somebody_changes_of_who_goes_with_it_is_not_lost_either(tmp_path: Path) -> None:
    site = Site(tmp_path, SHAPES["who lives in its network goes with it"])

    def limit(site: Site) -> None:
        called(site, "kid").host["Memory"] = 64 << 20

    Meddled(site, once("set_restart_policy"), limit)
    assert site.update().result is Result.UPDATED
    site = Site(tmp_path / "again", SHAPES["who lives in its network goes with it"])
    Meddled(site, once("create", 2), limit)
    outcome = site.update()
    assert outcome.result is Result.SKIPPED
    assert outcome.reason.startswith("cannot update kid: somebody changed it meanwhile (HostConfig.Memory: ")
    assert called(site, "kid").host["Memory"] == 64 << 20


def take_the_name(site: Site) -> None:
    """``docker create --name web`` of another image, in the moment in which the name is free."""
    site.engine.create(CreateSpec(name="web", body={"Image": "other:1"}))


def test_the_old_one_runs_though_somebody_took_its_name_and_gets_it_back(site: Site) -> None:
    Meddled(site, once("rename", 2), take_the_name)
    outcome = site.update()
    assert outcome.result is Result.ROLLBACK_FAILED
    waits = f"web.fleet-old-{site.old_id[:12]}"
    assert f"which another container ({called(site).id[:12]}) has: web is there as {waits}" in outcome.reason
    old = called(site, waits)
    assert (old.id, old.running, old.policy) == (site.old_id, True, "always")
    assert pay(site.engine, site.open(site.path), site.clock)
    site.engine.remove("web")
    assert not pay(site.engine, site.open(site.path), site.clock)
    assert (called(site).id, called(site).running) == (site.old_id, True)


def test_nobody_is_started_beside_what_writes_to_the_same_data(site: Site) -> None:
    (volume,) = (mount["Name"] for mount in site.before["Mounts"])

    def put_in_its_place(site: Site) -> None:
        site.engine.run("web", "other:1", HostConfig={"Binds": [f"{volume}:/data"]})

    Meddled(site, once("rename", 2), put_in_its_place)
    outcome = site.update()
    assert outcome.result is Result.ROLLBACK_FAILED
    assert "it was not started beside that one" in outcome.reason
    assert set(site.engine.running()) == {"web", "bystander"}
    site.engine.remove("web", force=True)
    assert not pay(site.engine, site.open(site.path), site.clock)
    assert called(site).id == site.old_id
    assert called(site).running


def no_room(call: str) -> EngineError:
    """Return what an engine says whose disk is full."""
    return EngineError(f"cannot {call}: no space left on device", status=500)


@pytest.mark.parametrize("call", ["rename", "set_restart_policy", "start"])
def test_an_engine_whose_disk_is_full_on_the_way_back_runs_the_old_one_once_it_has_room(
    call: str, tmp_path: Path
) -> None:
    """The agent's next start finds it, as the promise says; and one that runs on looks each minute."""
    site = Site(tmp_path, SHAPES["a new one that exits"])
    site.engine.fail(
        call, lambda: no_room(call), after={"rename": 2, "set_restart_policy": 1, "start": 1}[call], times=1000
    )
    outcome = site.update()
    assert outcome.result is Result.ROLLBACK_FAILED
    assert "no space left on device" in outcome.reason
    assert pay(site.engine, site.open(site.path), site.clock)
    site.engine.heal()
    assert [told for _, told in recover(site.engine, Journal(site.path), site.clock)] == [outcome]
    web = called(site)
    assert (web.id, web.running, web.policy) == (site.old_id, True, "always")
    assert site.open(site.path).owed() == []


def failed_on_the_way_back(path: Path) -> Site:
    """Return a site whose old container could not be started again."""
    site = Site(path, SHAPES["a new one that exits"])
    site.engine.fail("start", engine_says_no, after=1, times=1000)
    assert site.update().result is Result.ROLLBACK_FAILED
    site.engine.heal()
    return site


def remove_web(site: Site) -> None:
    """``docker rm web``."""
    site.engine.remove("web")


def rename_web(site: Site) -> None:
    """``docker rename web web-before``."""
    site.engine.rename("web", "web-before")


@pytest.mark.parametrize("settle", [remove_web, rename_web])
def test_what_a_person_settled_meanwhile_stays_so(settle: Meddle, tmp_path: Path) -> None:
    site = failed_on_the_way_back(tmp_path)
    settle(site)
    names = site.engine.names()
    assert not pay(site.engine, site.open(site.path), site.clock)
    assert site.engine.names() == names
    assert set(site.engine.running()) == {"bystander"}


def test_what_nobody_settled_for_a_day_is_left_as_it_is(tmp_path: Path) -> None:
    """Else who removes what has its name, months later, would find the old container in its place."""
    site = failed_on_the_way_back(tmp_path)
    site.clock.advance(OWED_FOR_S + 60)
    assert not pay(site.engine, site.open(site.path), site.clock)
    assert set(site.engine.running()) == {"bystander"}


def test_who_put_another_in_its_place_meanwhile_keeps_that_one(tmp_path: Path) -> None:
    site = failed_on_the_way_back(tmp_path)
    site.engine.remove("web")
    site.engine.run("web", "other:1")
    assert not pay(site.engine, site.open(site.path), site.clock)
    assert called(site).running
    assert site.engine.names() == ["bystander", "web"]
