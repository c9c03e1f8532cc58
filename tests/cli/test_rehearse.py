"""A rehearsal as it is typed: it tells how a rollout would go, plans nothing, and asks no host."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Fleet
from tests.controller.centre import Centre, ScriptedHost

pytestmark = [pytest.mark.redis, pytest.mark.usefixtures("served")]


def test_it_tells_the_end_and_what_a_bad_image_would_reach_and_keeps_nothing(
    fleet: Fleet, centre: Centre, web1: ScriptedHost
) -> None:
    ran = fleet("rehearse")
    assert ran.code == 0, ran.err
    assert ran.lines[0].startswith("completed: it would end at ")
    assert "a bad image would reach 1 host (web-1), and end rolled back" in ran.out
    assert "little is known of 1 host (web-1)" in ran.err
    assert "no rollouts yet" in fleet("rollout", "ls").err
    assert not web1.hear()


def test_faults_are_chosen(fleet: Fleet, web1: ScriptedHost) -> None:
    well, bad, away = (
        json.loads(fleet("rehearse", "-o", "json", *faults).out)
        for faults in ((), ("--bad-image",), ("--centre-away", "5h", "--after", "5m"))
    )
    assert (well["state"], bad["state"], away["state"]) == ("completed", "rolled_back", "completed")
    assert away["ended_at"] > well["ended_at"]
    off = json.loads(fleet("rehearse", "--off", "web-*", "-o", "json").out)
    assert off["touched"] == []


def test_a_spec_and_the_caps_of_the_fleet_are_rehearsed(fleet: Fleet, web1: ScriptedHost, tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text("waves: [{size: rest, approval: true}]\n")
    fleet("host", "label", "web-1", "site=north")
    fleet("cap", "set", "site", "1")
    ran = fleet("rehearse", str(spec))
    assert "it would not end by itself, held: approval" in ran.out
    ran = fleet("rehearse", str(spec), "--approve-after", "1h", "--events")
    assert "site=north" in ran.out and "full" in ran.out
    assert "wave 1 is approved" in ran.out


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("--container", "nothing-*"), 5, "cannot rehearse: no host has such a container"),
        (("nowhere.yaml",), 1, "cannot read the spec"),
        (("--outage", "soon"), 1, "cannot use 'soon' as a duration"),
        (("--outage", "99d"), 1, "cannot use"),
        (("--off", "nobody"), 5, "cannot switch off 'nobody': no host of this rollout has such a name"),
        (("--off", "web-*", "--off", "nobody"), 5, "cannot switch off 'nobody'"),
        (("--slower", "2", "--slow-mirror", "m.lan"), 5, "cannot slow 'm.lan' down: no host of this rollout"),
        (("--slow-mirror", "m.lan"), 1, "cannot use --slow-mirror alone: it says something of --slower"),
        (("--off-for", "2d"), 1, "cannot use --off-for alone"),
        (("--after", "2d"), 1, "cannot use --after alone: it says something of --outage or --centre-away"),
    ],
)
def test_what_cannot_be_rehearsed_is_said(
    fleet: Fleet, web1: ScriptedHost, args: tuple[str, ...], code: int, said: str
) -> None:
    ran = fleet("rehearse", *args)
    assert (ran.code, said in ran.err) == (code, True), ran.err
