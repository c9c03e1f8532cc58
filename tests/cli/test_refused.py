"""A host that nothing is sent to is said to be so, with what to do about it, wherever somebody would wait for it."""

import json

import pytest

from fleet.history.registries import tags
from tests.cli.conftest import Fleet
from tests.controller.centre import NEW, Centre, ScriptedHost, nginx
from tests.web.test_routes import IMAGE, carry_out

pytestmark = [pytest.mark.redis, pytest.mark.usefixtures("served")]
WHY = (
    "cannot send anything to web-2: web-1, which told of it earlier, has the same engine; remove one of them: fleet host"
    " rm web-2, or give a cloned machine an engine id of its own"
)


@pytest.fixture(autouse=True)
def twin(centre: Centre, web1: ScriptedHost) -> ScriptedHost:
    """Two hosts with the engine of the first, each with one container that is outdated."""
    tags.record_resolved(centre.db, IMAGE, NEW, "https://registry-1.docker.io")
    second = centre.add_host("web-2")
    second.snapshot(nginx())
    second.heartbeat(engine_id=f"engine-{web1.id.hex}")
    centre.turn()
    return second


def test_the_list_of_hosts_and_the_host_itself_say_it(fleet: Fleet) -> None:
    listed = fleet("host", "ls")
    assert [line.split()[:2] for line in listed.lines[1:]] == [["web-1", "online"], ["web-2", "refused"]]
    assert listed.err.splitlines() == [WHY]
    assert f"refused:  {WHY}" in fleet("host", "show", "web-2").lines
    assert "refused" not in fleet("host", "show", "web-1").out
    assert json.loads(fleet("host", "show", "web-2", "-o", "json").out)["host"]["refused"] == WHY


def test_a_plan_warns_of_it(fleet: Fleet) -> None:
    assert f"warning: {WHY}" in fleet("plan", "--no-check").err.splitlines()
    assert WHY not in fleet("plan", "--no-check", "--host", "web-1").err


@pytest.mark.parametrize("order", [("update", "web-2", "--no-check"), ("undo", "web-2", "web")])
def test_an_order_for_it_alone_is_refused_and_leaves_nothing(fleet: Fleet, order: tuple[str, ...]) -> None:
    ran = fleet(*order)
    assert (ran.code, ran.err.splitlines()) == (6, [WHY])
    assert "no rollouts yet" in fleet("rollout", "ls").err


def test_a_rollout_says_it_and_nobody_waits_for_that_host_alone(
    fleet: Fleet, centre: Centre, web1: ScriptedHost
) -> None:
    plan = json.loads(fleet("plan", "--no-check", "-o", "json").out)["plan"]["id"]
    applied = fleet("apply", plan, "-d")
    assert (applied.code, f"warning: {WHY}" in applied.err) == (0, True)
    assert f"warning: {WHY}" in fleet("rollout", "show", "#1").err
    carry_out(centre, web1)
    ran = fleet("rollout", "watch", "#1", "--timeout", "20s")
    assert (ran.code, f"waits, {WHY}" in ran.err) == (6, True)
