"""What each door lets in."""

import hashlib
import json
import os
import pwd
import socket
from collections.abc import Iterator
from typing import ClassVar

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient
from starlette.types import Scope

from fleet.history.tables.words import Scope as TokenScope
from fleet.road.keys import SigningKey
from fleet.web.doors import LARGEST_REQUEST, Behind, door_of, peer_of
from tests.controller.centre import Centre

HOSTS = "/api/v1/hosts"


def test_what_came_through_no_door_has_no_rights(app: Behind) -> None:
    """An application that was served by mistake without a door lets nobody in."""
    answer = TestClient(app.app).get(HOSTS)
    assert answer.status_code == 401
    assert answer.json()["code"] == "auth-needed"


def test_the_socket_needs_no_token(http: TestClient) -> None:
    assert http.get(HOSTS).status_code == 200


def test_the_port_needs_a_token(port: TestClient) -> None:
    answer = port.get(HOSTS)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["detail"].startswith("cannot proceed without a token")


@pytest.mark.parametrize("header", ["Bearer wrong", "Basic d3Jvbmc6d3Jvbmc=", "Bearer ", "fpat_x"])
def test_a_wrong_token_is_told_so_and_not_repeated(port: TestClient, header: str) -> None:
    answer = port.get(HOSTS, headers={"Authorization": header})
    assert answer.status_code == 401
    assert "wrong:" not in answer.text and "d3Jvbmc" not in answer.text


@pytest.mark.parametrize("header", ["X-Forwarded-For", "X-Real-IP", "Forwarded"])
def test_no_header_opens_the_port(port: TestClient, header: str) -> None:
    assert port.get(HOSTS, headers={header: "uid:0"}).status_code == 401


def test_health_needs_no_token(port: TestClient) -> None:
    assert port.get("/healthz").json()["status"] == "ok"


def test_a_door_cannot_be_claimed() -> None:
    scope: Scope = {"type": "http", "fleet.door": "socket"}
    assert door_of(scope) is None


@pytest.mark.parametrize(
    ("client", "name"),
    [
        ((f"uid:{os.getuid()}", 7), pwd.getpwuid(os.getuid()).pw_name),
        (("uid:4000000000", 7), "uid-4000000000"),
        (("127.0.0.1", 7), "socket"),
        (None, "socket"),
    ],
)
def test_the_peer_is_named_as_the_system_names_it(client: tuple[str, int] | None, name: str) -> None:
    assert peer_of({"type": "http", "client": client}) == name


def test_a_request_that_announces_too_much_ends_at_the_door(http: TestClient) -> None:
    answer = http.post(HOSTS, content=b"x" * (LARGEST_REQUEST + 1))
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("text", ["\\u0000", "\\ud800"])
def test_what_no_database_takes_for_text_is_refused_wherever_it_stands(http: TestClient, text: str) -> None:
    key = json.dumps(str(SigningKey.generate().public))
    body = f'{{"name": "n", "labels": {{"a": "{text}"}}, "public_key": {key}, "password_sha256": "{"0" * 64}"}}'
    answer = http.post("/api/v1/hosts", content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (422, "bad-input")
    assert http.delete("/api/v1/caps/%00").status_code == 404


def test_a_request_with_two_ends_ends_at_the_door(http: TestClient) -> None:
    """A proxy may see the other one, and take the rest for a request of somebody else."""
    answer = http.post("/login", content=b"x", headers={"Transfer-Encoding": "chunked", "Content-Length": "1"})
    assert (answer.status_code, answer.headers["connection"]) == (400, "close")


@pytest.mark.parametrize("path", ["/api/v1/hosts", "/healthz", "/hosts", "/nowhere", "/api/v1/hosts/nobody"])
def test_nobody_keeps_an_answer_and_none_is_taken_for_another_kind(http: TestClient, path: str) -> None:
    headers = http.get(path).headers
    assert (headers["cache-control"], headers["x-content-type-options"]) == ("no-store", "nosniff")


@pytest.mark.parametrize("path", ["/hosts/", "/api/v1/hosts/"])
def test_no_answer_leads_to_the_host_that_a_request_names(http: TestClient, path: str) -> None:
    answer = http.get(path, headers={"Host": "evil.lan"}, follow_redirects=False)
    assert answer.status_code == 404
    assert "location" not in answer.headers


def test_a_request_that_grows_too_large_is_cut(http: TestClient) -> None:
    def parts() -> Iterator[bytes]:
        for _ in range(LARGEST_REQUEST // 65536 + 2):
            yield b"x" * 65536

    answer = http.post(HOSTS, content=parts())
    assert answer.status_code == 413
    assert answer.json()["code"] == "bad-input"


class TestScopes:
    """A token may do what its scope says, and no more."""

    ACTS = (
        ("GET", "/hosts", TokenScope.READ),
        ("GET", "/containers", TokenScope.READ),
        ("GET", "/history", TokenScope.READ),
        ("GET", "/history/who-runs?wanted=nginx", TokenScope.READ),
        ("GET", "/history/changes?host=x", TokenScope.READ),
        ("GET", "/history/chain?host=x&container=y", TokenScope.READ),
        ("GET", "/history/mirrors", TokenScope.READ),
        ("GET", "/history/durations", TokenScope.READ),
        ("GET", "/history/compared", TokenScope.READ),
        ("GET", "/audit", TokenScope.READ),
        ("GET", "/stops", TokenScope.READ),
        ("POST", "/stops", TokenScope.WRITE),
        ("DELETE", "/stops/x", TokenScope.WRITE),
        ("GET", "/caps", TokenScope.READ),
        ("PUT", "/caps/x", TokenScope.WRITE),
        ("DELETE", "/caps/x", TokenScope.WRITE),
        ("GET", "/rollouts", TokenScope.READ),
        ("POST", "/rehearsals", TokenScope.WRITE),
        ("GET", "/schedules", TokenScope.READ),
        ("GET", "/schedule-runs", TokenScope.READ),
        ("GET", "/policies", TokenScope.READ),
        ("GET", "/mirrors", TokenScope.READ),
        ("GET", "/mirrors/probes", TokenScope.READ),
        ("GET", "/mirrors/audit", TokenScope.READ),
        ("POST", "/mirrors/test", TokenScope.WRITE),
        ("POST", "/undo", TokenScope.WRITE),
        ("GET", "/outdated", TokenScope.READ),
        ("GET", "/doctor", TokenScope.READ),
        ("GET", "/outdated?check=true", TokenScope.WRITE),
        ("POST", "/plans", TokenScope.WRITE),
        ("POST", "/plans/x/apply", TokenScope.WRITE),
        ("POST", "/updates", TokenScope.WRITE),
        ("POST", "/rollouts/x/abort", TokenScope.WRITE),
        ("POST", "/rollouts/x/pause", TokenScope.WRITE),
        ("POST", "/rollouts/x/resume", TokenScope.WRITE),
        ("POST", "/rollouts/x/approve", TokenScope.WRITE),
        ("POST", "/rollouts/x/waive", TokenScope.WRITE),
        ("POST", "/rollouts/x/retry", TokenScope.WRITE),
        ("POST", "/rollouts/x/undo", TokenScope.WRITE),
        ("PUT", "/policies", TokenScope.WRITE),
        ("POST", "/schedules", TokenScope.WRITE),
        ("PATCH", "/schedules/x", TokenScope.WRITE),
        ("DELETE", "/schedules/x", TokenScope.WRITE),
        ("POST", "/schedules/x/run", TokenScope.WRITE),
        ("POST", "/hosts", TokenScope.ADMIN),
        ("PATCH", "/hosts/x", TokenScope.ADMIN),
        ("POST", "/hosts/x/rejoin", TokenScope.ADMIN),
        ("DELETE", "/hosts/x", TokenScope.ADMIN),
        ("GET", "/channels", TokenScope.READ),
        ("GET", "/channels/x", TokenScope.READ),
        ("GET", "/channels/x/preview", TokenScope.READ),
        ("POST", "/channels/x/preview", TokenScope.WRITE),
        ("POST", "/channels", TokenScope.ADMIN),
        ("PATCH", "/channels/x", TokenScope.ADMIN),
        ("POST", "/channels/x/test", TokenScope.WRITE),
        ("POST", "/channels/x/retry", TokenScope.WRITE),
        ("DELETE", "/channels/x", TokenScope.ADMIN),
        ("GET", "/events?follow=false", TokenScope.READ),
        ("GET", "/receivers", TokenScope.READ),
        ("POST", "/receivers", TokenScope.ADMIN),
        ("DELETE", "/receivers/x", TokenScope.ADMIN),
        ("GET", "/tokens", TokenScope.ADMIN),
        ("POST", "/tokens", TokenScope.ADMIN),
        ("DELETE", "/tokens/x", TokenScope.ADMIN),
    )
    BODIES: ClassVar = {
        "/plans": {"check": False},
        "/plans/x/apply": {},
        "/updates": {"host": "x", "check": False},
        "/rollouts/x/abort": {},
        "/rollouts/x/pause": {},
        "/rollouts/x/approve": {},
        "/rollouts/x/waive": {},
        "/rollouts/x/retry": {},
        "/rollouts/x/undo": {},
        "/policies": {"document": {}},
        "/stops": {},
        "/caps/x": {"most": "1"},
        "/rehearsals": {},
        "/schedules": {"name": "n", "cron": "bad", "zone": "UTC"},
        "/schedules/x": {"enabled": True},
        "/hosts": {"name": "n", "public_key": "{}", "password_sha256": "0" * 64},
        "/hosts/x": {"name": "n"},
        "/hosts/x/rejoin": {"public_key": "{}", "password_sha256": "0" * 64},
        "/channels": {"name": "ops", "url": "https://x.lan/"},
        "/channels/x": {"severity": "error"},
        "/channels/x/test": {},
        "/channels/x/preview": {},
        "/channels/x/retry": {},
        "/receivers": {"name": "git"},
        "/tokens": {"name": "read", "scope": "read"},
    }

    def test_each_act_needs_its_scope(self, port: TestClient, http: TestClient) -> None:
        order = list(TokenScope)
        secrets = {
            scope: http.post("/api/v1/tokens", json={"name": scope.value, "scope": scope.value}).json()["secret"]
            for scope in order
        }
        for method, path, needed in self.ACTS:
            body = self.BODIES.get(path.partition("?")[0]) if method in ("POST", "PUT", "PATCH") else None
            for scope, secret in secrets.items():
                answer = port.request(
                    method, f"/api/v1{path}", json=body, headers={"Authorization": f"Bearer {secret}"}
                )
                enough = order.index(scope) >= order.index(needed)
                assert (answer.status_code != 403) is enough, (method, path, scope, answer.text)
                assert answer.status_code not in (401, 500), (method, path, scope, answer.text)

    def test_every_route_is_in_that_table(self, application: FastAPI) -> None:
        """A new route cannot be forgotten here."""
        listed = {(method, path.partition("?")[0].replace("/x", "/{}")) for method, path, _ in self.ACTS}
        only_read = {
            ("GET", "/hosts/{}"),
            ("GET", "/plans/{}"),
            ("GET", "/rollouts/{}"),
            ("GET", "/history/{}"),
            ("GET", "/mirrors/explain"),
            ("GET", "/schedules/{}"),
        }
        served = {
            (method.upper(), path.removeprefix("/api/v1").replace("{name}", "{}").replace("{id}", "{}"))
            for path, methods in application.openapi()["paths"].items()
            for method in methods
            if path.startswith("/api/v1")
        }
        assert served == listed | only_read

    def test_a_revoked_or_expired_token_opens_nothing(self, http: TestClient, port: TestClient) -> None:
        made = http.post("/api/v1/tokens", json={"name": "ci", "scope": "read"}).json()["secret"]
        headers = {"Authorization": f"Bearer {made}"}
        assert port.get(HOSTS, headers=headers).status_code == 200
        assert http.delete("/api/v1/tokens/ci").status_code == 200
        assert port.get(HOSTS, headers=headers).status_code == 401

    def test_a_token_that_has_expired_already_is_refused(self, http: TestClient) -> None:
        body = {"name": "ci", "expires_at": "2020-01-01T00:00:00Z"}
        answer = http.post("/api/v1/tokens", json=body)
        assert answer.status_code == 422
        assert "expired already" in answer.json()["detail"]

    def test_the_secret_is_shown_once_and_kept_nowhere(self, centre: Centre, http: TestClient) -> None:
        secret = http.post("/api/v1/tokens", json={"name": "ci"}).json()["secret"]
        assert secret.startswith("fpat_")
        assert secret not in http.get("/api/v1/tokens").text
        stored = b"".join(file.read_bytes() for file in centre.settings.state_dir.glob("fleet.db*"))
        assert secret.encode() not in stored
        assert hashlib.sha256(secret.encode()).hexdigest().encode() in stored


def test_a_unix_socket_has_a_peer() -> None:
    """The kernel says who it is: what PeerProtocol relies on."""
    left, right = socket.socketpair(socket.AF_UNIX)
    with left, right:
        assert len(left.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)) == 12
