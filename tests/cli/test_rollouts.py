"""Rollouts as they are typed: begun with a spec, watched to their end, or until they wait for somebody."""

import json
import re
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from fleet.cli.rollout import approve, rollout
from fleet.history.registries import tags
from fleet.history.rollouts import caps
from fleet.road.messages import Go, Offer, Order
from fleet.rollouts.states import Hold
from fleet.updates.outcome import Result
from tests.cli.conftest import Fleet
from tests.controller.centre import NEW, OLD, Centre, ScriptedHost, nginx
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
    spec = tmp_path / "spec.yaml"
    spec.write_text("max_parallel: 3\nwaves: [{size: rest}]\n")
    ran = fleet("rollout", "start", "--no-check", "--spec", str(spec), "-d")
    assert ran.code == 0, ran.err
    assert json.loads(fleet("rollout", "show", "#1", "-o", "json").out)["spec"]["max_parallel"] == 3
    carry_out(centre, moved)
    assert fleet("rollout", "watch", "#1", "--timeout", "20s").code == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("waves: [", "line 1"),
        ("waves:\n  - {size: 5}\n", "line 2"),
        ("max_paralel: 3\n", "did you mean max_parallel?"),
        ("max_parallel: 0\n", "max_parallel"),
        (None, "cannot read"),
    ],
)
def test_a_spec_that_cannot_be_used_orders_nothing(
    fleet: Fleet, moved: ScriptedHost, tmp_path: Path, text: str | None, said: str
) -> None:
    spec = tmp_path / "spec.yaml"
    if text is not None:
        spec.write_text(text)
    ran = fleet("rollout", "start", "--no-check", "--spec", str(spec))
    assert (ran.code, len(ran.err.splitlines()), said in ran.err) == (1, 1, True)
    assert "no rollouts yet" in fleet("rollout", "ls").err


def test_the_watch_of_a_held_rollout_ends_with_6_and_says_what_holds_it(
    fleet: Fleet, centre: Centre, moved: ScriptedHost
) -> None:
    fleet("update", "web-1", "--no-check", "-d")
    fleet("rollout", "pause", "#1")
    ran = fleet("rollout", "watch", "#1", "--timeout", "20s")
    assert (ran.code, "waits, held: user" in ran.err) == (6, True)
    fleet("rollout", "resume", "#1")
    carry_out(centre, moved)
    assert fleet("rollout", "watch", "#1", "--timeout", "20s").code == 0


def test_a_rollout_has_one_name_and_says_what_it_brings(
    fleet: Fleet, centre: Centre, moved: ScriptedHost, tmp_path: Path
) -> None:
    """All that is printed calls it #1, and whoever knows it by its id still finds it, so written or by its end."""
    spec = tmp_path / "spec.yaml"
    spec.write_text("waves: [{size: rest}]\n")
    ran = fleet("rollout", "start", "--no-check", "-d", "-m", "CVE-2026-1", "--spec", str(spec))
    assert "rollout #1 goes on; watch it with: fleet rollout watch 1\n" in ran.out
    told = json.loads(fleet("rollout", "show", "1", "-o", "json").out)
    id = UUID(told["rollout"]["id"])
    assert told["images"] == [{"image": IMAGE, "digest": NEW, "old_digests": [OLD], "containers": 1}]
    shown = [fleet("rollout", "show", name).out for name in ("1", "#1", str(id), id.hex, id.hex[-8:])]
    assert len(set(shown)) == 1
    assert shown[0].startswith("#1  ")
    assert f"brings: nginx:1  {OLD[7:19]} -> {NEW[7:19]}  to 1 container\n" in shown[0]
    assert fleet("rollout", "pause", "1").out.startswith("rollout #1 ")
    assert (
        "held: user (a person paused it); let it go on: fleet rollout resume 1\n" in fleet("rollout", "show", "1").out
    )
    (row,) = fleet("rollout", "ls", "--no-headers", "--columns", "rollout,state,reason").lines
    assert row.split(None, 1)[0] == "#1"
    assert row.endswith("held: user  CVE-2026-1")
    fleet("rollout", "resume", "1")
    carry_out(centre, moved)
    ended = fleet("rollout", "watch", "1", "--timeout", "20s")
    assert ended.lines[-1] == "rollout #1 completed"
    (outcome,) = json.loads(fleet("history", "ls", "-o", "json").out)["outcomes"]
    assert outcome["rollout"] == 1
    assert "rollout #1\n" in fleet("history", "show", outcome["id"]).out
    for name in ("1", "#1", id.hex, id.hex[-8:]):
        assert outcome["id"][-8:] in fleet("history", "ls", f"rollout:{name}").out, name


@pytest.mark.parametrize("hold", Hold)
def test_every_hold_that_a_person_may_lift_says_how(hold: Hold) -> None:
    """The command is one that there is; what a newer rollout holds is not a person's to lift."""
    answer = hold.answer(7)
    assert bool(answer) is (hold is not Hold.SUPERSEDED)
    for said in re.findall(r"fleet ([a-z -]+ 7[^;]*)", answer):
        group, *rest = said.split()
        command = {"approve": approve}.get(group) or rollout.commands[rest.pop(0)]
        command.make_context(group, rest)


def test_the_watch_of_a_frozen_rollout_ends_with_6_and_says_until_when(
    fleet: Fleet, centre: Centre, moved: ScriptedHost
) -> None:
    fleet("freeze", "-m", "Black Friday")
    fleet("update", "web-1", "--no-check", "-d")
    centre.turn()
    ran = fleet("rollout", "watch", "#1", "--timeout", "20s")
    assert (ran.code, "Black Friday" in ran.err) == (6, True)
    fleet("unfreeze")
    carry_out(centre, moved)
    assert fleet("rollout", "watch", "#1", "--timeout", "20s").code == 0


def test_nobody_is_warned_of_a_wave_that_is_over(
    fleet: Fleet, centre: Centre, moved: ScriptedHost, tmp_path: Path
) -> None:
    """The canary was all that its wave's selector takes, and waits no more; another host does."""
    other = centre.add_host("web-2")
    other.snapshot(nginx())
    centre.turn()
    spec = tmp_path / "spec.yaml"
    spec.write_text("waves: [{size: rest, selector: {hosts: [web-1]}}, {size: rest, approval: true}]\n")
    fleet("rollout", "start", "--no-check", "--spec", str(spec), "-d")
    carry_out(centre, moved)
    told = json.loads(fleet("rollout", "show", "#1", "-o", "json").out)
    assert [wave["state"] for wave in told["waves"]] == ["passed", "pending"]
    assert [host["state"] for host in told["hosts"]] == ["succeeded", "pending"]
    assert told["warnings"] == []
    other.close()


def test_a_rollout_that_waits_for_a_window_of_a_policy_says_when_it_opens_and_goes_on(
    fleet: Fleet, centre: Centre, moved: ScriptedHost, tmp_path: Path
) -> None:
    night = datetime.now(UTC) + timedelta(hours=5)
    policy = tmp_path / "policy.toml"
    policy.write_text(f'windows = [{{start = "{night:%H:%M}", duration = "2h"}}]\n')
    assert fleet("policy", "apply", "-f", str(policy), "--host", "web-1").code == 0
    fleet("update", "web-1", "--no-check", "-d")
    centre.turn()
    said = f"no window is open to any host that waits: the next is at {night:%Y-%m-%d %H:%M} UTC"
    ran = fleet("rollout", "watch", "#1", "--timeout", "1s")
    assert (ran.code, said in ran.err, said in fleet("rollout", "show", "#1").out) == (7, True, True)
    assert not moved.hear()
    policy.write_text(f'windows = [{{start = "{night:%H:%M}", duration = "1h", cutoff = "2h"}}]\n')
    ran = fleet("policy", "apply", "-f", str(policy))
    assert (ran.code, "windows.0: the cut-off is longer than the window" in ran.err) == (1, True)
    policy.write_text("windows = []\n")
    assert fleet("policy", "apply", "-f", str(policy), "--host", "web-1").code == 0
    carry_out(centre, moved)
    assert fleet("rollout", "watch", "#1", "--timeout", "20s").code == 0


def test_the_watch_that_runs_out_of_time_ends_with_7_and_the_rollout_goes_on_to_its_end(
    fleet: Fleet, centre: Centre, moved: ScriptedHost
) -> None:
    fleet("update", "web-1", "--no-check", "-d")
    ran = fleet("rollout", "watch", "#1", "--timeout", "1s")
    assert (ran.code, "goes on; watch it with: fleet rollout watch" in ran.err) == (7, True)
    carry_out(centre, moved)
    assert fleet("rollout", "watch", "#1", "--timeout", "20s").code == 0


def test_a_wave_is_approved_and_what_the_rollout_did_is_undone(
    fleet: Fleet, centre: Centre, moved: ScriptedHost, tmp_path: Path
) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text("waves: [{size: rest, approval: true}]\n")
    fleet("rollout", "start", "--no-check", "--spec", str(spec), "-d")
    centre.turn()
    assert "held: approval" in fleet("rollout", "show", "#1").out
    assert "approve the wave instead" in fleet("rollout", "resume", "#1").err
    assert fleet("approve", "#1").code == 0
    carry_out(centre, moved)
    assert "by person:" in fleet("rollout", "show", "#1").out
    assert fleet("rollout", "waive", "#1").code == 6
    assert fleet("rollout", "retry", "#1").code == 6
    missing = fleet("rollout", "undo", "#1", "--host", "web-9", "-d")
    assert (missing.code, missing.err) == (
        5,
        "cannot find a host 'web-9' in rollout #1; see: fleet rollout show 1\n",
    )
    ran = fleet("rollout", "undo", "#1", "--host", "web-*", "--reason", "slow", "-d")
    assert (ran.code, "the way back is" in ran.out) == (0, True)
    carry_out(centre, moved)
    assert fleet("rollout", "watch", "#2", "--timeout", "20s").code == 0
    assert "undone by rollout #2\n" in fleet("rollout", "show", "#1").out
    assert "the way back of rollout #1\n" in fleet("rollout", "show", "#2").out


def test_the_undoing_of_a_rollout_that_runs_is_followed_to_the_end_of_its_way_back(
    fleet: Fleet, centre: Centre, moved: ScriptedHost, tmp_path: Path
) -> None:
    """What is live ends first; then the way back is made, and followed in place of what it undoes."""
    spec = tmp_path / "spec.yaml"
    spec.write_text("waves: [{size: rest, soak: 1h}]\n")
    fleet("rollout", "start", "--no-check", "--spec", str(spec), "-d")
    carry_out(centre, moved)
    ended = threading.Event()

    def turn() -> None:
        # What the planner and the host do meanwhile.
        orders: dict[UUID, Order] = {}
        while not ended.wait(0.05):
            centre.turn()
            for message in (opened.message for opened in moved.hear(0.05)):
                match message:
                    case Offer():
                        moved.claim(message.command)
                    case Order():
                        orders[message.command] = message
                        moved.ready(message)
                    case Go():
                        for outcome in moved.outcomes(orders[message.command], Result.UPDATED):
                            moved.say(outcome)

    thread = threading.Thread(target=turn)
    thread.start()
    try:
        ran = fleet("rollout", "undo", "#1", "--reason", "slow", "--timeout", "60s")
    finally:
        ended.set()
        thread.join(60)
    assert (ran.code, "went back" in ran.out) == (0, True), ran.err


def test_a_wave_that_is_retried_says_no_more_why_it_failed(
    fleet: Fleet, centre: Centre, moved: ScriptedHost, tmp_path: Path
) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text("waves: [{size: rest, on_failure: hold}]\nbudget: {max_failed_total: 5}\n")
    fleet("rollout", "start", "--no-check", "--spec", str(spec), "-d")
    carry_out(centre, moved, Result.ROLLED_BACK)
    assert "1 of 1 hosts failed" in fleet("rollout", "show", "#1").out
    assert fleet("rollout", "retry", "#1").code == 0
    assert "hosts failed" not in fleet("rollout", "show", "#1").out


def test_without_a_spec_a_rollout_goes_in_four_waves(fleet: Fleet, moved: ScriptedHost) -> None:
    fleet("rollout", "start", "--no-check", "-d")
    waves = json.loads(fleet("rollout", "show", "#1", "-o", "json").out)["waves"]
    assert [wave["state"] for wave in waves] == ["pending"] * 4


SHUT = "windows: [{days: [mon], start: 22:00, duration: 6h}]\nfreezes: [{from: 2020-01-01T00:00:00Z, to: 2120-01-01T00:00:00Z}]\n"


def test_what_a_spec_would_run_into_is_warned_about_by_plan_start_and_show(
    fleet: Fleet, moved: ScriptedHost, tmp_path: Path
) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(SHUT)
    said = "warning: web-1: no window admits it within 14 days"
    assert said not in fleet("plan", "--no-check").err
    assert said in fleet("plan", "--no-check", "--spec", str(spec)).err
    assert said in fleet("rollout", "start", "--no-check", "--spec", str(spec), "-d").err
    assert said in fleet("rollout", "show", "#1").err
    fleet("rollout", "abort", "#1")
    assert said not in fleet("rollout", "show", "#1").err


def test_a_cap_that_lets_no_host_go_is_warned_about_without_a_spec_too(
    fleet: Fleet, centre: Centre, moved: ScriptedHost
) -> None:
    fleet("host", "label", "web-1", "site=north")
    caps.set_cap(centre.db, "site", "25%", by="person:anna", door="cli")
    assert "the cap site=north of 25% lets none of its 1 hosts go" in fleet("plan", "--no-check").err


def test_a_plan_is_applied_with_a_spec(fleet: Fleet, moved: ScriptedHost, tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text("max_parallel: 3\n")
    plan = json.loads(fleet("plan", "--no-check", "-o", "json").out)["plan"]["id"]
    assert fleet("apply", plan, "--spec", str(spec), "-d").code == 0
    assert json.loads(fleet("rollout", "show", "#1", "-o", "json").out)["spec"]["max_parallel"] == 3
