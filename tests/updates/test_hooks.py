"""Hooks: what labels ask to be run in a container before and after, how they say no, and that nobody runs them unasked."""

from pathlib import Path
from typing import Any

import pytest

from fleet.errors import BadInput
from fleet.testing.engine_faults import KillNow
from fleet.updates.command import Policy, VerifyPolicy
from fleet.updates.hooks import Event, Hook, hook_of
from fleet.updates.outcome import Result
from tests.updates.site import Shape, Site, engine_says_no, lives_in, restart

pytestmark = pytest.mark.usefixtures("quick_disk")
POLICY = Policy(verify=VerifyPolicy(settle_ms=1_000), hooks=True)
THEIRS = "com.centurylinklabs.watchtower.lifecycle."
LABELS = {"fleet.hook.pre-update": "save", "fleet.hook.post-update": "warm", "fleet.hook.user": "app"}


def site_with(folder: Path, labels: dict[str, str], policy: Policy = POLICY, **more: Any) -> Site:
    """Return a host whose container has *labels*."""
    return Site(folder, Shape(body=restart("always") | {"Labels": labels}, policy=policy, **more))


@pytest.mark.parametrize(
    ("labels", "hook"),
    [
        ({}, None),
        ({"fleet.hook.pre-update": " save "}, Hook(event=Event.BEFORE, command=("sh", "-c", "save"))),
        ({"fleet.hook.pre-update": '["/save", "all"]'}, Hook(event=Event.BEFORE, command=("/save", "all"))),
        (
            {"fleet.hook.pre-update": "save", "fleet.hook.user": "1:2", "fleet.hook.timeout": "1m30s"},
            Hook(event=Event.BEFORE, command=("sh", "-c", "save"), user="1:2", timeout_ms=90_000),
        ),
        (
            {THEIRS + "pre-update": "/dump.sh", THEIRS + "pre-update-timeout": "5", THEIRS + "uid": "7"},
            Hook(event=Event.BEFORE, command=("sh", "-c", "/dump.sh"), user="7", timeout_ms=300_000),
        ),
        (
            {THEIRS + "pre-update": "a", THEIRS + "pre-update-timeout": "0", THEIRS + "uid": "7", THEIRS + "gid": "8"},
            Hook(event=Event.BEFORE, command=("sh", "-c", "a"), user="7:8", timeout_ms=3_600_000),
        ),
        (
            {"fleet.hook.pre-update": "ours", THEIRS + "pre-update": "theirs"},
            Hook(event=Event.BEFORE, command=("sh", "-c", "ours")),
        ),
    ],
)
def test_a_hook_is_read_from_labels(labels: dict[str, str], hook: Hook | None) -> None:
    assert hook_of(labels, Event.BEFORE) == hook


@pytest.mark.parametrize(
    "more", [{"fleet.hook.timeout": "soon"}, {"fleet.hook.timeout": "2h"}, {"fleet.hook.pre-update": "[1]"}]
)
def test_a_hook_that_cannot_be_read_touches_nothing(more: dict[str, str], tmp_path: Path) -> None:
    labels = {"fleet.hook.pre-update": "save"} | more
    with pytest.raises(BadInput, match=r"^cannot read the "):
        hook_of(labels, Event.BEFORE)
    site = site_with(tmp_path, labels, Policy())
    outcome = site.update()
    assert outcome.result is Result.SKIPPED
    assert site.engine.running()["web"] == site.before


def test_hooks_run_in_the_old_one_before_and_in_the_new_one_after(tmp_path: Path) -> None:
    site = site_with(tmp_path, LABELS)
    outcome = site.update()
    assert (outcome.result, outcome.reason) == (Result.UPDATED, "")
    new = site.engine.running()["web"]["Id"]
    ran = [call.arguments for call in site.engine.calls if call.name == "execute"]
    assert ran == [(site.old_id, ("sh", "-c", "save"), "app"), (new, ("sh", "-c", "warm"), "app")]
    calls = [call.name for call in site.engine.calls]
    assert calls.index("create") < calls.index("execute") < calls.index("set_restart_policy") < calls.index("stop")
    assert len(calls) - calls[::-1].index("execute") - 1 < calls.index("remove")


def test_nobody_runs_them_unasked_and_the_outcome_says_so(tmp_path: Path) -> None:
    site = site_with(tmp_path, LABELS, Policy(verify=VerifyPolicy(settle_ms=0)))
    outcome = site.update()
    assert outcome.result is Result.UPDATED
    assert outcome.reason == "its hooks were not run (pre-update, post-update): the policy does not allow them"
    assert "execute" not in [call.name for call in site.engine.calls]


@pytest.mark.parametrize(
    ("ends", "result", "told"),
    [
        ((75, "a backup runs", 0.0), Result.SKIPPED, "cannot update web now: its hook pre-update ended with code 75: a backup"),
        ((1, "disk full", 0.0), Result.FAILED, "cannot update web: its hook pre-update ended with code 1: disk full"),
        ((0, "", 61.0), Result.FAILED, "cannot update web: its hook pre-update did not end in its time"),
    ],
)  # fmt: skip
def test_a_hook_before_says_no(ends: tuple[int, str, float], result: Result, told: str, tmp_path: Path) -> None:
    site = site_with(tmp_path, LABELS)
    site.engine.commands["save"] = ends
    outcome = site.update()
    assert outcome.result is result
    assert outcome.reason.startswith(told)
    assert site.engine.running()["web"] == site.before
    site.assert_tidy()


def test_a_no_for_now_is_still_one_where_the_agent_ends_on_the_way_back(tmp_path: Path) -> None:
    site = site_with(tmp_path, LABELS)
    site.engine.commands["save"] = (75, "a backup runs", 0.0)
    site.engine.fail("remove", KillNow)
    outcome = site.live()
    assert (site.deaths, outcome.result) == (1, Result.SKIPPED)
    assert outcome.reason.startswith("cannot update web now: its hook pre-update ended with code 75")


def test_an_engine_that_cannot_run_it_is_a_no(tmp_path: Path) -> None:
    site = site_with(tmp_path, LABELS)
    site.engine.fail("execute", engine_says_no)
    assert site.update().result is Result.FAILED
    assert site.engine.running()["web"] == site.before


def test_a_hook_after_changes_nothing_and_is_told(tmp_path: Path) -> None:
    site = site_with(tmp_path, LABELS)
    site.engine.commands["warm"] = (3, "cold", 0.0)
    outcome = site.update()
    assert outcome.result is Result.UPDATED
    assert outcome.reason == "the hook post-update of web ended with code 3: cold"
    site.assert_promise(outcome)


def test_a_crash_in_the_hook_after_is_told_and_does_not_run_it_twice(tmp_path: Path) -> None:
    site = site_with(tmp_path, LABELS)
    site.engine.fail("execute", KillNow, after=1)
    outcome = site.live()
    assert outcome.result is Result.UPDATED
    assert outcome.reason == "the agent was interrupted, so the hook post-update of web may not have run"
    assert [call.arguments[1][-1] for call in site.engine.calls if call.name == "execute"] == ["save", "warm"]
    site.assert_promise(outcome)


def test_who_goes_with_it_is_asked_too(tmp_path: Path) -> None:
    kid = lives_in("Network", "web") | {"Labels": {"fleet.hook.pre-update": "flush"}}
    site = site_with(tmp_path, {}, kids={"kid": kid})
    site.engine.commands["flush"] = (75, "", 0.0)
    outcome = site.update()
    assert outcome.result is Result.SKIPPED
    assert "cannot update kid now" in outcome.reason
    site.assert_tidy()
