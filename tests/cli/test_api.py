"""Requests to the API as they are."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Fleet
from tests.controller.centre import ScriptedHost

pytestmark = [pytest.mark.redis, pytest.mark.usefixtures("served")]


def test_a_question_is_answered_as_by_its_own_command(fleet: Fleet, web1: ScriptedHost) -> None:
    own = json.loads(fleet("token", "ls", "-o", "json").out)
    for path in ("/tokens", "tokens", "/api/v1/tokens"):
        ran = fleet("api", "get", path)
        assert (ran.code, json.loads(ran.out)) == (0, own), ran.err
    (host,) = json.loads(fleet("api", "GET", "/hosts", "--query", "host=web-*").out)["hosts"]
    assert host["name"] == "web-1"
    assert json.loads(fleet("api", "GET", "/healthz").out)["status"]
    assert "/api/v1/hosts" in json.loads(fleet("api", "GET", "/openapi.json").out)["paths"]


def test_what_stands_in_a_file_is_sent(fleet: Fleet, web1: ScriptedHost, tmp_path: Path) -> None:
    (tmp_path / "body").write_text('{"labels": {"env": "prod"}}')
    ran = fleet("api", "PATCH", "/hosts/web-1", "--input", str(tmp_path / "body"))
    assert json.loads(ran.out)["host"]["labels"] == {"env": "prod"}
    assert "host label" in fleet("audit").out


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("GET", "/hosts/nobody"), 5),
        (("GET", "/nonsense"), 5),
        (("POST", "/hosts"), 1),
        (("PUT", "/hosts"), 1),
        (("GET", "https://elsewhere.example/hosts"), 1),
        (("GET", "/hosts?host=x"), 1),
        (("GET", "/hosts", "--query", "x"), 1),
        (("POST", "/stops", "--input", "/nowhere"), 1),
        (("POST", "/stops", "--input", "/etc/hostname"), 1),
        (("LOOK", "/hosts"), 2),
    ],
)
def test_errors_are_those_of_every_command(fleet: Fleet, words: tuple[str, ...], code: int) -> None:
    ran = fleet("api", *words)
    assert (ran.code, ran.out) == (code, "")
    assert code == 2 or (ran.err.startswith("cannot ") and ran.err.count("\n") == 1)
