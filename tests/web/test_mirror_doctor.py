"""What keeps a host from its mirrors is a check of the doctor, with what to do about it."""

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from starlette.testclient import TestClient

from fleet.engine.protocol import EngineFacts
from fleet.history.mirrors import probes
from fleet.mirrors.probe import MirrorProbe, ProbeState
from fleet.mirrors.sources import Places, read_host_mirrors
from fleet.road.messages import Heartbeat, HostFacts, Probed
from tests.controller.centre import Centre, ScriptedHost

ENGINE = EngineFacts(
    id="e", name="n", version="28.0.1", api_version="1.47", os="linux", architecture="amd64", containerd_store=True
)


def checks(http: TestClient) -> dict[str, Any]:
    """Return the checks by their ids."""
    return {check["id"]: check for check in http.get("/api/v1/doctor").json()["checks"]}


@pytest.mark.parametrize(
    ("written", "engine", "id", "grade", "fix"),
    [
        ("{", {}, "daemon-json-broken", "FAIL", "dockerd --validate"),
        (
            '{"registries": {"ghcr.io": ["https://m.lan"]}}',
            {},
            "daemon-registries-key",
            "FAIL",
            "/etc/fleet/mirrors.json",
        ),
        ('{"insecure-registries": ["svn://a"]}', {}, "daemon-insecure-unusable", "FAIL", "write a host"),
        ('{"registry-mirrors": ["https://m.lan"]}', {}, "daemon-mirrors-pending", "WARN", "systemctl reload docker"),
        (
            '{"registry-mirrors": ["http://127.0.0.1:1"]}',
            {"version": "29.1.0", "mirrors": ("http://127.0.0.1:1/",)},
            "daemon-hub-unchecked",
            "FAIL",
            "write hosts.toml instead",
        ),
        (
            '{"registry-mirrors": ["http://m.lan"]}',
            {"version": "26.1.5", "mirrors": ("http://m.lan/",)},
            "daemon-mirror-over-tls",
            "WARN",
            "list it there",
        ),
    ],
)
def test_what_a_host_finds_in_its_files_is_a_check_with_its_fix(
    http: TestClient,
    centre: Centre,
    web1: ScriptedHost,
    tmp_path: Path,
    written: str,
    engine: dict[str, Any],
    id: str,
    grade: str,
    fix: str,
) -> None:
    (tmp_path / "daemon.json").write_text(written)
    told = EngineFacts(**({name: getattr(ENGINE, name) for name in ENGINE.__slots__} | engine))
    places = Places(daemon_files=(tmp_path / "daemon.json",), certs_folders=(), registries_confs=())
    problems = read_host_mirrors(told, places=places).problems
    web1.say(Heartbeat(facts=HostFacts(agent_version="0.1.0", problems=problems), host_time=datetime.now(UTC)))
    centre.turn()
    found = checks(http)[id]
    assert (found["grade"], found["subject"]) == (grade, "web-1")
    assert fix in found["fix"]
    assert found["text"].startswith("cannot ")


@pytest.mark.parametrize(
    ("state", "id", "fix"),
    [
        (ProbeState.DOWN, "mirror-down", "fleet mirror test"),
        (ProbeState.MISSING, "mirror-missing", "fleet mirror explain"),
        (ProbeState.UNAUTHORIZED, "mirror-auth-failed", "docker login"),
        (ProbeState.TLS, "mirror-tls", "ca.crt"),
    ],
)
def test_what_a_host_finds_at_its_mirrors_is_a_check_with_its_fix_and_in_the_log(
    http: TestClient,
    centre: Centre,
    web1: ScriptedHost,
    caplog: pytest.LogCaptureFixture,
    state: ProbeState,
    id: str,
    fix: str,
) -> None:
    assert checks(http)[id]["grade"] == "PASS"
    host_id = UUID(http.get("/api/v1/hosts/web-1").json()["host"]["id"])
    request = probes.ask_probes(centre.db, [host_id], by="a test")[host_id]
    found = MirrorProbe(mirror="https://m.lan", registry="*", state=state, reason="cannot use it")
    web1.say(Probed(request=request, mirrors=(found,)))
    centre.turn()
    check = checks(http)[id]
    assert (check["grade"], check["subject"]) == ("WARN", "https://m.lan")
    assert fix in check["fix"]
    assert "web-1" in check["text"]
    caplog.set_level(logging.INFO)
    centre.planner.look()
    centre.planner.look()
    said = [vars(record) for record in caplog.records if record.message == "condition began"]
    assert [(record["code"], record["subject"]) for record in said] == [(id, "https://m.lan")]
