"""What is given to somebody who helps: all that is needed, in one file of one's own, and no secret."""

import json
import stat
import tarfile
from pathlib import Path
from typing import Any

import pytest

from fleet.cli.support import ASKED, redacted
from tests.cli.conftest import Fleet
from tests.controller.centre import ScriptedHost


def _read(path: Path) -> dict[str, Any]:
    with tarfile.open(path) as bundle:
        members = {Path(member.name).stem: bundle.extractfile(member) for member in bundle.getmembers()}
        return {name: json.load(file) for name, file in members.items() if file is not None}


@pytest.mark.redis
@pytest.mark.usefixtures("served")
def test_it_holds_what_the_server_and_this_machine_say(
    fleet: Fleet, web1: ScriptedHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLEET_BROKER_URL", "redis://fleet:hush@127.0.0.1:6379/0")
    path = tmp_path / "bundle.tar.gz"
    policy = tmp_path / "policy.toml"
    policy.write_text('[[mirrors]]\nfor = "docker.io"\nurl = "https://harbor.lan/hub"\n')
    fleet("policy", "apply", "-f", str(policy))
    ran = fleet("support-bundle", "--out", str(path))
    assert (ran.code, ran.lines) == (0, [f"written: {path}"]), ran.err
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    found = _read(path)
    assert set(found) == {*ASKED, "about", "config-centre", "config-agent", "server"}
    assert [name for name, each in found.items() if "error" in each] == []
    assert found["hosts"] == json.loads(fleet("host", "ls", "-o", "json").out)
    assert found["policies"] == json.loads(fleet("policy", "show", "-o", "json").out)
    assert "fleet-updater" in found["about"]["packages"]
    assert "hush" not in json.dumps(found)


def test_without_a_server_it_says_why_and_holds_the_rest(
    fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLEET_SOCKET", "/nowhere")
    monkeypatch.setenv("FLEET_PLANNER_BATCH", "none")
    ran = fleet("support-bundle", "--out", str(tmp_path / "b.tar.gz"), "-o", "json")
    assert (ran.code, json.loads(ran.out)["absent"]) == (0, ["config-centre", "server"])
    found = _read(tmp_path / "b.tar.gz")
    assert found["server"]["error"].startswith("cannot reach the server at unix:///nowhere")
    assert "planner.batch (FLEET_PLANNER_BATCH)" in found["config-centre"]["error"]
    assert found["config-agent"]


def test_what_cannot_be_filled_is_gone_again(fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("fleet.cli.support.redacted", interrupted)
    assert fleet("support-bundle", "--out", str(tmp_path / "b.tar.gz")).code == 130
    assert not (tmp_path / "b.tar.gz").exists()


@pytest.mark.parametrize(("out", "code"), [("there", 6), ("no/folder/x", 1)])
def test_nothing_is_overwritten(fleet: Fleet, tmp_path: Path, out: str, code: int) -> None:
    (tmp_path / "there").write_text("precious")
    ran = fleet("support-bundle", "--out", str(tmp_path / out))
    assert (ran.code, ran.out, ran.err.startswith("cannot ")) == (code, "", True)
    assert (tmp_path / "there").read_text() == "precious"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("https://anna:hush@harbor.lan/v2", "https://(hidden)@harbor.lan/v2"),
        ("sent to https://s3.lan/b?X-Sig=hush&y=1 then", "sent to https://s3.lan/b?(hidden) then"),
        ("token fpat_hush-1_x was refused", "token fpat_(hidden) was refused"),
        ("Authorization: Bearer hush.hush.hush", "Authorization: Bearer (hidden)"),
        ("-----BEGIN EC PRIVATE KEY-----\nhush\n-----END EC PRIVATE KEY-----", "(hidden)"),
        ("a basic question of nginx:1.27@sha256:9f1c", "a basic question of nginx:1.27@sha256:9f1c"),
        ("https://harbor.lan/hub", "https://harbor.lan/hub"),
        ("anna@example.lan", "anna@example.lan"),
    ],
)
def test_what_looks_like_a_secret_is_hidden_wherever_it_stands(text: str, left: str) -> None:
    assert redacted({"a": [{"b": text}], text: 1}) == {"a": [{"b": left}], left: 1}
