"""``kill -9`` of the agent in the middle of a pull, and at each step that it writes down, through the whole road."""

import json
from typing import Any

import pytest

from fleet.updates.journal import CommandState, Stage
from tests.lab.images import Recipe
from tests.lab.machines import eventually
from tests.scenarios.small_fleet import PATIENCE_S, App, SmallFleet

CUT_AT = 1_000_000
"""The byte of a layer of 2 MiB at which the registry stops sending."""
HOSTS = ["oak", pytest.param("elm", marks=pytest.mark.full)]

BACK = (Stage.CREATE, Stage.RELEASE, Stage.STOP, Stage.SWAP, Stage.START, Stage.VERIFY)
FORTH = (Stage.REMOVE, Stage.DONE)
BEFORE = ("seen", *(f"command:{state}" for state in CommandState if state is not CommandState.DONE))
CHOSEN = {"oak": (f"command:{CommandState.READY}", f"update:{Stage.STOP}", f"update:{Stage.REMOVE}"), "elm": ()}
"""The steps that ``make test`` tries."""


def steps() -> list[Any]:
    """Return every step on every host; those that were not chosen are for ``make test-full``."""
    every = (*BEFORE, *(f"update:{stage}" for stage in (*BACK, *FORTH)), f"command:{CommandState.DONE}")
    return [
        pytest.param(host, step, marks=() if step in chosen else (pytest.mark.full,), id=f"{host}-{step}")
        for host, chosen in CHOSEN.items()
        for step in every
    ]


def left_in_spool(app: App) -> int:
    """Return the size of the largest file that the agent is fetching."""
    files = (app.host.machine.folder / "agent").rglob("*.part")
    return max((file.stat().st_size for file in files), default=0)


@pytest.mark.parametrize("name", HOSTS)
def test_killed_in_the_middle_of_a_pull_it_pulls_again(name: str, fleet: SmallFleet) -> None:
    host, registry = fleet.lab.hosts[name], fleet.harbour
    app = fleet.take(host)
    new = app.push(Recipe(version="2", layers_mib=(2,), shares=app.name))
    layer = registry.get_json(f"/v2/{app.repository}/manifests/{new}")["layers"][1]["digest"]
    registry.misbehave({"fault": "pause", "kind": "blobs", "tail": layer, "at": CUT_AT})
    rollout = app.order()
    eventually(f"{CUT_AT} bytes pulled", lambda: left_in_spool(app) >= CUT_AT, within_s=PATIENCE_S)
    assert left_in_spool(app) == CUT_AT
    fleet.kill_agent(host)
    assert app.version() == "1"
    registry.misbehave()
    fleet.start_agent(host)
    assert fleet.ended(rollout) == "completed"
    app.assert_updated_once("2")
    assert left_in_spool(app) == 0


@pytest.mark.parametrize(("name", "step"), steps())
def test_killed_at_a_step_it_goes_on_or_back_and_says_so_once(name: str, step: str, fleet: SmallFleet) -> None:
    host = fleet.lab.hosts[name]
    app = fleet.take(host)
    before = app.host.docker("inspect", "--format", "{{.Id}}", app.name)
    app.push(Recipe(version="2", shares=app.name))
    fleet.doom(host, step)
    rollout = app.order()
    fleet.await_death(host)
    fleet.start_agent(host)
    back = step in {f"update:{stage}" for stage in BACK}
    assert fleet.ended(rollout) == ("completed_with_failures" if back else "completed"), app.results()
    if not back:
        app.assert_updated_once("2")
        return
    untouched = step in (f"update:{Stage.CREATE}", f"update:{Stage.RELEASE}")
    assert app.results() == ["failed" if untouched else "rolled_back"]
    assert app.version() == "1"
    assert app.names() == [app.name]
    assert app.host.docker("inspect", "--format", "{{.Id}}", app.name) == before
    told = json.loads(fleet.centre.fleet("history", "ls", "--container", app.name, "-o", "json"))["outcomes"]
    assert len(told) == 1
    assert told[0]["reason"].startswith("cannot")
