"""Freezes, holds, snoozes and skips, as they are typed."""

import json

import pytest

from fleet.history.noted import audit
from fleet.history.registries import tags
from tests.cli.conftest import Fleet
from tests.controller.centre import NEW, Centre, ScriptedHost

pytestmark = [pytest.mark.redis, pytest.mark.usefixtures("served")]

IMAGE = "docker.io/library/nginx:1"


@pytest.fixture
def moved(centre: Centre, web1: ScriptedHost) -> ScriptedHost:
    """A host whose one container is outdated."""
    tags.record_resolved(centre.db, IMAGE, NEW, "https://registry-1.docker.io")
    return web1


def test_a_freeze_is_shown_warned_about_and_lifted(fleet: Fleet, moved: ScriptedHost) -> None:
    ran = fleet("freeze", "-m", "Black Friday", "--for", "8h")
    assert (ran.code, ran.lines[0].startswith("freeze "), "of the fleet until" in ran.out) == (0, True, True)
    assert "Black Friday" in fleet("stops").out
    plan = fleet("plan", "--no-check")
    assert "Black Friday; until then the updates wait of: web-1" in plan.err
    assert "plan " in plan.out
    assert "lifted" in fleet("unfreeze").out
    assert "nothing is frozen" in fleet("stops").err
    assert fleet("unfreeze").err.strip() == "cannot unfreeze: nothing is frozen"


def test_several_freezes_are_lifted_by_name(fleet: Fleet, moved: ScriptedHost) -> None:
    fleet("freeze", "--label", "site=berlin")
    fleet("freeze", "--host", "web-*")
    ran = fleet("unfreeze")
    assert (ran.code, "labels site=berlin" in ran.err, "hosts web-*" in ran.err) == (1, True, True)
    id = json.loads(fleet("stops", "-o", "json").out)["stops"][0]["id"].replace("-", "")[-8:]
    assert fleet("unfreeze", id).code == 0


def test_a_container_is_named_as_every_other_command_names_it(fleet: Fleet, moved: ScriptedHost) -> None:
    """HOST CONTAINER, as -q prints it, means that one; a name alone means it wherever it runs."""
    (named,) = fleet("outdated", "-q").lines
    for command in ("hold", "snooze"):
        assert fleet(command, *named.split(), "-m", "a migration", "--for", "3d").code == 0
        (stop,) = json.loads(fleet("stops", "-o", "json").out)["stops"]
        assert (stop["selector"]["hosts"], stop["selector"]["containers"]) == (["web-1"], ["web"])
        assert fleet("unhold", stop["id"][-8:]).code == 0
    ran = fleet("hold", "web-1", "web", "cache")
    assert (ran.code, "Got unexpected extra argument (cache)" in ran.err) == (2, True)


def test_a_hold_that_no_container_fits_is_made_and_told_so(fleet: Fleet, moved: ScriptedHost) -> None:
    """A container that is called by its image is a mistake that nobody would find before the update."""
    ran = fleet("hold", "nginx")
    assert (ran.code, ran.lines[0].endswith("of containers nginx")) == (0, True)
    assert ran.err.splitlines()[-1] == "no container fits it now; of an image, say --image nginx; see: fleet ps"
    assert fleet("snooze", "--image", "redis", "--for", "1d").err.splitlines()[-1] == (
        "no container fits it now; see: fleet ps"
    )
    assert "no container" not in fleet("hold", "--image", "nginx").err


@pytest.mark.parametrize(
    "command",
    [("hold", "web"), ("snooze", "--image", "nginx", "--for", "3d"), ("skip", "nginx:1"), ("skip", f"nginx:1@{NEW}")],
)
def test_what_is_held_is_left_out_of_plans_and_shown_as_outdated(
    fleet: Fleet, centre: Centre, moved: ScriptedHost, command: tuple[str, ...]
) -> None:
    assert fleet(*command, "-m", "breaks TLS").code == 0
    plan = fleet("plan", "--no-check")
    assert "nothing to update" in plan.err and "breaks TLS" in plan.err
    outdated = json.loads(fleet("outdated", "-o", "json").out)["containers"]
    assert [(c["status"], "breaks TLS" in c["reason"]) for c in outdated] == [("outdated", True)]
    assert audit.acts(centre.db).items[0].action == f"{command[0]} create"
    id = json.loads(fleet("stops", "-o", "json").out)["stops"][0]["id"].replace("-", "")[-8:]
    assert fleet("unhold", id).code == 0
    assert "nothing to update" not in fleet("plan", "--no-check").err


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("snooze", "app"), "cannot snooze without an end"),
        (("hold", "--host", "web-1"), "name a container or an image"),
        (("skip", "redis:7"), "it was not checked yet"),
        (("freeze", "--until", "2020-01-01"), "it is over already"),
        (("freeze", "--until", "2099-01-01", "--for", "1h"), "give one of them"),
    ],
)
def test_what_means_nothing_is_refused_in_one_line(
    fleet: Fleet, moved: ScriptedHost, command: tuple[str, ...], said: str
) -> None:
    ran = fleet(*command)
    assert (ran.code, len(ran.err.splitlines()), said in ran.err) == (1, 1, True)


def test_a_schedule_says_what_it_missed_and_tells_of_what_it_would_do(
    fleet: Fleet, centre: Centre, moved: ScriptedHost
) -> None:
    fleet("schedule", "create", "look", "--cron", "0 3 * * *", "--action", "tell", "--late", "2h")
    fleet("schedule", "run", "look")
    centre.turn()
    centre.turn()
    shown = fleet("schedule", "show", "look").out
    assert "1 container on 1 host; carry it out with: fleet apply" in shown
    assert "missed" not in shown
    id = shown.rsplit("fleet apply ", 1)[1].strip()
    assert fleet("apply", id, "-d").code == 0
