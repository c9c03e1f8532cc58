"""Registries say at a receiver what was pushed: with its secret alone, within bounds, and it is checked as always."""

import base64
import hashlib
import hmac
import json
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from fleet.controller.resolving import Asking
from fleet.history.registries import pushes, tags
from fleet.history.tables.pushes import pushes as table
from fleet.history.tables.pushes import receivers as receivers_table
from fleet.images.pushed import Sender
from fleet.registry.credentials import NoCredentials
from fleet.testing.registry import ScriptedRegistry
from fleet.web import pace
from fleet.web.doors import PROVED, Behind, Door
from fleet.web.hooks import LARGEST_BODY
from fleet.web.pace import BURST, Pace
from fleet.web.proof import is_proved
from tests.controller.centre import OLD, Centre, ScriptedHost, nginx
from tests.history.world import rows
from tests.web.test_routes import API

NO_HEADERS: Mapping[str, str] = {}
BODY = json.dumps({"image": "nginx:1"}).encode()
NGINX = "docker.io/library/nginx:1"


class Receiver:
    """A receiver, and who speaks to it."""

    def __init__(self, http: TestClient, port: TestClient, **more: str) -> None:
        made = http.post(f"{API}/receivers", json={"name": "git", **more})
        assert made.status_code == 201, made.text
        self.path = made.json()["receiver"]["path"]
        self.secret = made.json()["secret"]
        self.port = port

    def say(self, body: bytes = BODY, headers: Mapping[str, Any] = NO_HEADERS, *, secret: str | None = None) -> Any:
        """Speak to it, with its secret in the URL unless *headers* say otherwise."""
        query = {} if headers and secret is None else {"secret": secret or self.secret}
        return self.port.post(self.path, params=query, content=body, headers=dict(headers))


@pytest.fixture
def receiver(http: TestClient, port: TestClient, centre: Centre, web1: ScriptedHost) -> Receiver:
    """A receiver of a fleet that runs nginx:1."""
    tags.record_resolved(centre.db, NGINX, OLD, "https://registry-1.docker.io")
    return Receiver(http, port)


def signed(secret: str, body: bytes = BODY) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


PROOFS: dict[str, Callable[[str], dict[str, str]]] = {
    "github": lambda secret: {"X-Hub-Signature-256": f"sha256={signed(secret)}"},
    "gitea": lambda secret: {"X-Gitea-Signature": signed(secret)},
    "artifactory": lambda secret: {"X-JFrog-Event-Auth": secret},
    "artifactory, signing": lambda secret: {"X-JFrog-Event-Auth": signed(secret)},
    "gitlab": lambda secret: {"X-Gitlab-Token": secret},
    "harbor": lambda secret: {"Authorization": secret},
    "bearer": lambda secret: {"Authorization": f"Bearer {secret}"},
    "basic": lambda secret: {"Authorization": "Basic " + base64.b64encode(f"fleet:{secret}".encode()).decode()},
}


@pytest.mark.parametrize("proof", PROOFS)
def test_each_sender_proves_the_secret_in_its_own_way(receiver: Receiver, proof: str) -> None:
    taken = receiver.say(BODY, PROOFS[proof](receiver.secret))
    assert (taken.status_code, taken.json()["images"]) == (202, 1), taken.text
    wrong = receiver.say(BODY, PROOFS[proof](receiver.secret[:-1]))
    assert wrong.status_code == 401


def test_who_does_not_prove_the_secret_learns_nothing_and_nothing_comes_of_it(
    receiver: Receiver, centre: Centre, caplog: pytest.LogCaptureFixture
) -> None:
    nobody = Receiver.__new__(Receiver)
    nobody.port, nobody.path, nobody.secret = receiver.port, f"/hooks/{uuid4()}", receiver.secret
    answers = [
        receiver.say(secret="x"),
        receiver.say(BODY, {"Authorization": "Basic ???"}),
        receiver.say(BODY, {"Authorization": b"Basic \xe9"}),
        receiver.say(BODY, {"Authorization": ""}),
        receiver.port.post(receiver.path, content=BODY, headers={b"X-Hub-Signature-256": b"sha256=\xe9"}),
        receiver.say(BODY, {"X-Hub-Signature-256": f"sha256={signed(receiver.secret, b'{}')}"}),
        receiver.say(BODY, {"X-Gitlab-Token": signed(receiver.secret)}),
        nobody.say(),
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.text for answer in answers}) == 1, "a receiver that is not there looks like a wrong secret"
    assert rows(centre.db, table) == []
    assert rows(centre.db, receivers_table)[0]["last_used_at"] is None
    assert not [line for line in caplog.messages if receiver.secret in line]


def test_the_secret_is_nowhere_but_in_the_answer_that_made_it(
    receiver: Receiver, http: TestClient, centre: Centre, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        receiver.say()
        receiver.say(b"{", secret=receiver.secret)
    told = json.dumps(http.get(f"{API}/receivers").json()) + http.get("/receivers").text
    ours = [str(vars(each)) for each in caplog.records if each.name.startswith(("fleet", "uvicorn"))]
    assert ours
    kept = str(rows(centre.db, receivers_table)) + http.get(f"{API}/audit").text + "".join(ours)
    assert receiver.secret not in told + kept
    assert "fhook_" not in told + kept
    assert receiver.path in told


def test_a_push_is_checked_by_the_centre_itself_and_updates_nothing(
    receiver: Receiver, http: TestClient, centre: Centre, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The body names no digest that anybody would believe."""
    monkeypatch.setattr(pushes, "GATHERED", pushes.GATHERED * 0)
    monkeypatch.setattr(pushes, "APART", pushes.APART * 0)
    with ScriptedRegistry() as registry:
        digest = registry.shelf.add_image("app", "1", layers=[b"x"])
        image = f"{registry.host}/app:1"
        other = centre.add_host("web-2")
        other.snapshot(replace(nginx(), reference=image))
        centre.turn()
        tags.record_resolved(centre.db, image, OLD, "https://x")
        centre.planner._ways = replace(centre.planner._ways, asking=Asking(credentials=NoCredentials()))
        for _ in range(20):
            assert (
                receiver.say(json.dumps({"image": image, "digest": f"sha256:{'9' * 64}"}).encode()).json()["images"]
                == 1
            )
        centre.planner.tick()
        centre.planner.tick()
        assert len(registry.asked("manifests", "HEAD")) == 1, "twenty words of one push are one question"
    found = tags.tag(centre.db, image)
    assert found is not None
    assert found.digest == str(digest)
    assert http.get(f"{API}/rollouts").json()["rollouts"] == []
    assert other.words() == []


def test_a_receiver_may_have_the_name_under_which_hosts_know_its_registry(
    http: TestClient, port: TestClient, centre: Centre, web1: ScriptedHost
) -> None:
    tags.record_resolved(centre.db, NGINX, OLD, "https://x")
    receiver = Receiver(http, port, registry="docker.io")
    assert receiver.say(json.dumps({"image": "registry:5000/library/nginx:1"}).encode()).json()["images"] == 1
    refused = http.post(f"{API}/receivers", json={"name": "x", "registry": "https://reg.lan/"})
    assert (refused.status_code, refused.json()["code"]) == (422, "bad-input")


def test_bodies_are_bounded_and_read_as_json_or_as_githubs_form(receiver: Receiver) -> None:
    assert receiver.say(b"x" * (LARGEST_BODY + 1)).status_code == 413
    for broken in (b"", b"{", b"[" * 100_000, b"\xff", b"payload="):
        assert receiver.say(broken).status_code == 422
    form = b"payload=%7B%22image%22%3A%20%22nginx%3A1%22%7D"
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    taken = receiver.say(form, {**kind, "X-Hub-Signature-256": f"sha256={signed(receiver.secret, form)}"})
    assert (taken.status_code, taken.json()["images"]) == (202, 1)
    by_curl = receiver.say(BODY, {**kind, "Authorization": f"Bearer {receiver.secret}"})
    assert (by_curl.status_code, by_curl.json()["images"]) == (202, 1), "curl calls everything a form"
    ping = receiver.say(b'{"zen": "Keep it logically awesome.", "hook_id": 1}')
    assert (ping.status_code, ping.json()["images"]) == (202, 0)


def test_a_flood_is_told_when_to_come_again(receiver: Receiver, application: FastAPI) -> None:
    application.state.centre.pace.per_s = 0.0001
    assert {receiver.say().status_code for _ in range(BURST)} == {202}
    late = receiver.say()
    assert (late.status_code, int(late.headers["Retry-After"]) > 60) == (429, True)
    assert receiver.say(secret="x").status_code == 401, "who knows no secret is not counted"


def test_pace_comes_back_with_time() -> None:
    counted, id = Pace(), uuid4()
    assert [counted.wait_s(id, 0.0) for _ in range(BURST + 1)][-2:] == [0.0, 0.5]
    assert counted.wait_s(id, 0.5) == 0.0
    assert counted.wait_s(uuid4(), 0.5) == 0.0


def test_counts_that_say_nothing_any_more_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "MOST_COUNTED", 1)
    counted, busy = Pace(burst=2, per_s=1.0), uuid4()
    counted.wait_s(uuid4(), 0.0)
    assert [counted.wait_s(busy, 9.0) for _ in range(2)] == [0.0, 0.0]
    assert list(counted._left) == [busy]
    assert counted.wait_s(busy, 9.0) == 1.0, "who is counted still is not forgotten"


def test_the_kept_hash_opens_nothing_but_a_signature() -> None:
    """It is the key of HMAC for a secret longer than a block, and no secret itself."""
    secret = "fhook_" + "s" * 86
    kept = hashlib.sha256(secret.encode()).hexdigest()
    assert is_proved(kept, {"x-hub-signature-256": f"sha256={signed(secret)}"}, "", BODY)
    for headers, given in (({"authorization": kept}, ""), ({"x-gitlab-token": kept}, ""), ({}, kept), ({}, "")):
        assert not is_proved(kept, headers, given, BODY)


def test_the_page_shows_what_was_heard_last(receiver: Receiver, http: TestClient) -> None:
    assert "nothing yet" in http.get("/receivers").text
    receiver.say()
    page = http.get("/receivers").text
    assert "generic: docker.io/library/nginx:1" in page
    assert receiver.path in page


def test_what_came_of_what_was_heard_is_counted_by_whose_form_it_had(
    receiver: Receiver, http: TestClient, application: FastAPI
) -> None:
    receiver.say()
    receiver.say(b'{"image": "nginx:2"}')
    receiver.say(b'{"push_data": {"tag": "1"}, "repository": {"repo_name": "nginx"}}')
    receiver.say(b'{"zen": "Keep it logically awesome."}')
    receiver.say(b"{")
    receiver.say(b"x" * (LARGEST_BODY + 1))
    receiver.say(secret="x")
    application.state.centre.pace.burst = 0
    receiver.say()
    found = dict(re.findall(r"^fleet_pushes_heard_total\{(.*)\} (.*)$", http.get("/metrics").text, re.M))
    assert {labels: float(count) for labels, count in found.items() if float(count)} == {
        'outcome="asked",sender="generic"': 1,
        'outcome="nothing",sender="generic"': 1,
        'outcome="asked",sender="docker-hub"': 1,
        'outcome="unread",sender="none"': 3,
        'outcome="limited",sender="none"': 1,
        'outcome="refused",sender="none"': 1,
    }
    assert len(found) == 2 * len(Sender) + 3, "bounded, whatever is said"


def test_who_proves_the_secret_holds_a_place_at_the_port(receiver: Receiver, application: FastAPI) -> None:
    """Where there are too many, those who proved nothing go first."""
    seen: list[dict[str, Any]] = []
    behind = Behind(application, Door.PORT)

    async def watched(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"] = {}
        await behind(scope, receive, send)
        seen.append(dict(scope["state"]))

    receiver.port = TestClient(watched)
    receiver.say()
    receiver.say(secret="x")
    assert [PROVED in state for state in seen] == [True, False]
