"""Rollouts as they are typed: begun with a spec, watched to their end, or until they wait for somebody."""

import json
from pathlib import Path

import pytest

from fleet.history import tags
from tests.cli.conftest import Fleet
from tests.controller.centre import NEW, Centre, ScriptedHost
from tests.web.test_routes import IMAGE, carry_out

pytestmark = [pytest.mark.redis, pytest.mark.usefixtures("served")]


@pytest.fixture
def moved(centre: Centre, web1: ScriptedHost) -> ScriptedHost:
    """A host whose one container is outdated."""
    tags.record_resolved(centre.db, IMAGE, NEW, "https://registry-1.docker.io")
    return web1


def test_a_rollout_is_begun_with_a_spec_and_watched_to_its_end(
    fleet: Fleet, centre: Centre, moved: ScriptedHost, tmp_path: Path
) -> None:
    spec = tmp_path / "spec.toml"
    spec.write_text("max_parallel = 3\n")
    ran = fleet("rollout", "start", "--no-check", "--spec", str(spec), "-d")
    assert ran.code == 0, ran.err
    assert json.loads(fleet("rollout", "show", "#1", "-o", "json").out)["spec"]["max_parallel"] == 3
    carry_out(centre, moved)
    assert fleet("rollout", "watch", "#1").code == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("max_parallel = ", "as a spec"),
        ("[]]", "as a spec"),
        ("max_parallel = 0", "max_parallel"),
        (None, "cannot read"),
    ],
)
def test_a_spec_that_cannot_be_used_orders_nothing(
    fleet: Fleet, moved: ScriptedHost, tmp_path: Path, text: str | None, said: str
) -> None:
    spec = tmp_path / "spec.toml"
    if text is not None:
        spec.write_text(text)
    ran = fleet("rollout", "start", "--no-check", "--spec", str(spec))
    assert (ran.code, len(ran.err.splitlines()), said in ran.err) == (1, 1, True)
    assert "no rollouts yet" in fleet("rollout", "ls").err


def test_the_watch_of_a_held_rollout_ends_with_6_and_says_what_holds_it(
    fleet: Fleet, centre: Centre, moved: ScriptedHost
) -> None:
    fleet("rollout", "start", "--no-check", "-d")
    fleet("rollout", "pause", "#1")
    ran = fleet("rollout", "watch", "#1")
    assert (ran.code, "waits, held: user" in ran.err) == (6, True)
    fleet("rollout", "resume", "#1")
    carry_out(centre, moved)
    assert fleet("rollout", "watch", "#1").code == 0


def test_the_watch_of_a_frozen_rollout_ends_with_6_and_says_until_when(
    fleet: Fleet, centre: Centre, moved: ScriptedHost
) -> None:
    fleet("freeze", "-m", "Black Friday")
    fleet("rollout", "start", "--no-check", "-d")
    centre.turn()
    ran = fleet("rollout", "watch", "#1")
    assert (ran.code, "Black Friday" in ran.err) == (6, True)
    fleet("unfreeze")
    carry_out(centre, moved)
    assert fleet("rollout", "watch", "#1").code == 0
