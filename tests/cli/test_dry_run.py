"""``--dry-run``: every verb that can take back what it does says what would come of it, and changes nothing."""

from pathlib import Path

import click
import pytest

from fleet.cli.main import fleet as command_line
from fleet.history.registries import tags
from tests.cli.conftest import Fleet
from tests.cli.test_lists import _commands
from tests.controller.centre import NEW, Centre, ScriptedHost
from tests.web.test_dry_run import everything
from tests.web.test_routes import IMAGE

pytestmark = [pytest.mark.redis, pytest.mark.usefixtures("served")]

DONE_AT_ONCE = {
    *("host add", "host rejoin", "host label", "host rename", "host rm", "token create", "token revoke"),
    *("mirror test", "notify add", "notify rm", "notify pause", "notify resume", "notify retry", "notify test"),
}
"""Orders that speak to the broker, to hosts or others, or whose answer is a secret that would hold for nothing."""


def test_every_order_to_the_fleet_can_be_tried() -> None:
    """Whatever sends more than a question takes the option, but for those that reach beyond the database."""
    assert isinstance(command_line, click.Group)
    found = dict(_commands(command_line, click.Context(command_line)))
    tried = {path for path, c in found.items() if any("--dry-run" in p.opts for p in c.params)}
    assert tried == {
        *("apply", "update", "undo", "approve", "freeze", "unfreeze", "hold", "snooze", "skip", "unhold"),
        *(f"rollout {verb}" for verb in ["start", "pause", "resume", "promote", "waive", "retry", "undo", "abort"]),
        *(f"schedule {verb}" for verb in ["create", "edit", "pause", "resume", "rm", "run"]),
        *("cap set", "cap rm", "policy apply", "policy rm"),
    }
    assert not tried & DONE_AT_ONCE


def test_what_is_tried_changes_nothing_and_says_so(
    fleet: Fleet, centre: Centre, web1: ScriptedHost, tmp_path: Path
) -> None:
    tags.record_resolved(centre.db, IMAGE, NEW, "https://registry-1.docker.io")
    (tmp_path / "p.toml").write_text('[[mirrors]]\nfor = "docker.io"\nurl = "https://harbor.lan"\n')
    assert fleet("update", "web-1", "web", "--no-check", "-d").code == 0
    before = everything(centre.db)
    for words, told in (
        (("rollout", "pause", "1"), "rollout #1 planned, held: user\n"),
        (("rollout", "abort", "1"), "rollout #1 abort"),
        (("freeze", "--for", "8h"), "freeze "),
        (("hold", "web-1", "web"), "hold "),
        (("skip", "nginx:1"), f"{NEW[:19]}"),
        (("schedule", "create", "nightly", "--cron", "30 2 * * *"), "schedule nightly: check, At 02:30 every day"),
        (("cap", "set", "site", "1"), "no host has it"),
        (("policy", "apply", "-f", str(tmp_path / "p.toml")), "version 1"),
        (("update", "web-1", "web", "--no-check"), "web-1  web"),
    ):
        ran = fleet(*words, "--dry-run")
        assert (ran.code, told in ran.out) == (0, True), (words, ran)
        assert ran.err.endswith("a dry run: nothing was changed\n"), words
        assert everything(centre.db) == before, words
    refused = fleet("rollout", "undo", "1", "--dry-run")
    assert (refused.code, refused.err) == (6, "cannot roll back a rollout that is planned; abort it instead\n")


def test_what_a_plan_would_start_is_planned_and_not_started(fleet: Fleet, centre: Centre, web1: ScriptedHost) -> None:
    """The plan stays, as of ``fleet plan``; no rollout does."""
    tags.record_resolved(centre.db, IMAGE, NEW, "https://registry-1.docker.io")
    ran = fleet("rollout", "start", "--no-check", "--dry-run")
    assert (ran.code, "web-1  web" in ran.out, "goes on" in ran.out) == (0, True, False), ran
    assert "no rollouts yet" in fleet("rollout", "ls").err
