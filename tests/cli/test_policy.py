"""A policy is compared with what stands before it is written."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Fleet
from tests.controller.centre import ScriptedHost

FIRST = '[[mirrors]]\nfor = "docker.io"\nurl = "https://harbor.lan"\n'
SECOND = 'hooks = true\n[[mirrors]]\nfor = "docker.io"\nurl = "https://quay.lan"\n'


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize("whose", [(), ("--label", "site=berlin"), ("--host", "web-1")])
def test_what_a_file_would_change_is_told_and_nothing_written(
    whose: tuple[str, ...], fleet: Fleet, web1: ScriptedHost, tmp_path: Path
) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(FIRST)
    new = fleet("policy", "diff", "-f", str(file), *whose)
    assert new.code == 0, new.err
    assert '+      "url": "https://harbor.lan"' in new.lines
    assert not [line for line in new.lines if line.startswith("-") and not line.startswith("---")]
    assert "no policy was written" in fleet("policy", "show").err
    fleet("policy", "apply", "-f", str(file), *whose)
    same = fleet("policy", "diff", "-f", str(file), *whose)
    assert (same.out, same.err.strip()) == ("", "it changes nothing")
    file.write_text(SECOND)
    other = fleet("policy", "diff", "-f", str(file), *whose).lines
    assert {'-      "url": "https://harbor.lan"', '+      "url": "https://quay.lan"', '+  "hooks": true,'} <= set(other)
    assert '       "for": "docker.io",' in other
    told = json.loads(fleet("policy", "diff", "-f", str(file), *whose, "-o", "json").out)
    assert (told["changes"], told["before"]["mirrors"], told["after"]["hooks"]) == (
        True,
        [{"for": "docker.io", "url": "https://harbor.lan"}],
        True,
    )


def test_a_file_that_says_nothing_and_two_subjects_are_refused(fleet: Fleet, tmp_path: Path) -> None:
    (tmp_path / "p").write_text("")
    assert "it says nothing" in fleet("policy", "diff", "-f", str(tmp_path / "p")).err
    (tmp_path / "p").write_text(FIRST)
    assert "name one of them" in fleet("policy", "diff", "-f", str(tmp_path / "p"), "--host", "a", "--label", "b=c").err


@pytest.mark.usefixtures("served")
def test_what_a_written_policy_has_no_more_is_named(fleet: Fleet, tmp_path: Path) -> None:
    """Who writes mirrors in one file and the rest in another loses the first, and is told so."""
    file = tmp_path / "policy.toml"
    file.write_text(SECOND)
    first = fleet("policy", "apply", "-f", str(file))
    assert first.err.splitlines() == ["see how its mirrors do from the hosts: fleet mirror test"]
    file.write_text('order = "start-first"\n')
    second = fleet("policy", "apply", "-f", str(file))
    assert second.err.splitlines() == [
        "what it had before and has no more: hooks, mirrors; a policy is written as a whole"
    ]
