"""Schedules at the command line: when they run next, by whose clocks, and how they are changed."""

import json
from pathlib import Path

import pytest

from fleet.history.noted import audit
from fleet.history.sql.pages import PageRequest
from tests.cli.conftest import Fleet
from tests.controller.centre import Centre, ScriptedHost

pytestmark = [pytest.mark.redis, pytest.mark.usefixtures("served")]


@pytest.fixture
def nightly(fleet: Fleet, web1: ScriptedHost) -> str:
    """A schedule of the one host, by night in Paris."""
    words = ("--cron", "30 2 * * *", "--zone", "Europe/Paris", "--host", "web-*", "--late", "2h")
    ran = fleet("schedule", "create", "nightly", *words)
    assert ran.code == 0, ran.err
    return "nightly"


def _shown(fleet: Fleet, name: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(fleet("schedule", "show", name, "-o", "json").out)["schedule"]
    return found


def test_it_is_shown_by_its_own_clocks_with_what_daylight_saving_does(fleet: Fleet, nightly: str) -> None:
    shown = fleet("schedule", "show", nightly)
    assert len([line for line in shown.lines if line.startswith("  next ") and "02:30 +0" in line]) == 3
    notes = [line for line in shown.lines if line.startswith("  note: ")]
    assert len(notes) == 2
    assert any("02:30 does not exist in Europe/Paris" in note for note in notes)
    assert any("02:30 comes twice in Europe/Paris" in note for note in notes)
    assert "  begins at most 2 h 0 min late" in shown.lines


def test_the_next_runs_of_all_are_listed_soonest_first(fleet: Fleet, nightly: str) -> None:
    fleet("schedule", "create", "hourly", "--cron", "0 * * * *")
    fleet("schedule", "create", "paused", "--cron", "* * * * *")
    fleet("schedule", "pause", "paused")
    runs = json.loads(fleet("schedule", "next", "--limit", "60", "-o", "json").out)["runs"]
    assert len(runs) == 60
    assert {run["schedule"] for run in runs} == {"nightly", "hourly"}
    assert sorted(run["at"] for run in runs) == [run["at"] for run in runs]
    mine = json.loads(fleet("schedule", "next", "nightly", "--limit", "400", "-o", "json").out)["runs"]
    assert len(mine) == 400
    assert {run["local"][11:16] for run in mine} == {"02:30", "03:00"}
    assert [run["note"][:5] for run in mine if run["note"]].count("02:30") >= 2
    assert fleet("schedule", "next", "paused").err == "nothing will run by the clock; see: fleet schedule ls\n"
    assert fleet("schedule", "next", "nobody").code == 5


def test_editing_changes_what_is_given_and_leaves_the_rest(fleet: Fleet, centre: Centre, nightly: str) -> None:
    before = _shown(fleet, nightly)
    assert fleet("schedule", "edit", nightly, "--cron", "0 4 * * *", "--action", "apply").code == 0
    after = _shown(fleet, nightly)
    changed = {key for key in before if before[key] != after[key]}
    assert changed == {"cron", "action", "next_run_at"}
    (act, *_) = audit.acts(centre.db, PageRequest(limit=1)).items
    assert (act.action, act.details) == ("schedule edit", {"cron": "0 4 * * *", "action": "apply"})


def test_what_was_given_can_be_taken_away(fleet: Fleet, nightly: str, tmp_path: Path) -> None:
    (tmp_path / "waves.yaml").write_text("waves:\n- size: 1\n- size: rest\n")
    assert fleet("schedule", "edit", nightly, "--spec", str(tmp_path / "waves.yaml")).code == 0
    assert _shown(fleet, nightly)["spec"] is not None
    assert fleet("schedule", "edit", nightly, "--no-spec", "--late", "0s", "--everything").code == 0
    found = _shown(fleet, nightly)
    assert (found["spec"], found["late_ms"], found["selector"]) == (None, None, {})


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("nightly",), 1),
        (("nightly", "--cron", "every night"), 1),
        (("nightly", "--zone", "Mars/Olympus"), 1),
        (("nightly", "--host", "nobody"), 5),
        (("nightly", "--host", "web-1", "--everything"), 1),
        (("nightly", "--spec", "/nowhere"), 1),
        (("nightly", "--no-spec", "--spec", "-"), 1),
        (("nobody", "--cron", "0 4 * * *"), 5),
    ],
)
def test_what_cannot_be_changes_nothing(fleet: Fleet, nightly: str, words: tuple[str, ...], code: int) -> None:
    before = _shown(fleet, nightly)
    ran = fleet("schedule", "edit", *words)
    assert (ran.code, ran.out, ran.err.count("\n")) == (code, "", 1)
    assert ran.err.startswith("cannot ")
    assert _shown(fleet, nightly) == before
