"""A dry run answers as the real thing would, and leaves nothing behind."""

import asyncio
from contextlib import AbstractContextManager
from typing import Any

import pytest
from starlette.testclient import TestClient
from starlette.types import Message

from fleet.api.paths import DRY_RUN, PREFIX
from fleet.history.noted import audit
from fleet.history.sql.database import Database
from fleet.web.doors import Behind
from tests.controller.centre import Centre, ScriptedHost
from tests.web.test_routes import _move_tag

ORDERS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("POST", "/stops", {"kind": "freeze", "reason": "Black Friday"}),
    ("POST", "/schedules", {"name": "nightly", "cron": "30 2 * * *", "zone": "Europe/Berlin", "action": "check"}),
    ("PUT", "/caps/site", {"most": "25%"}),
    ("PUT", "/policies", {"document": {"mirrors": [{"for": "docker.io", "url": "https://harbor.lan"}]}}),
    ("POST", "/updates", {"host": "web-1", "check": False}),
)


def everything(db: Database) -> dict[str, list[Any]]:
    """Return all rows of all tables."""
    from fleet.history.sql.columns import METADATA

    with db.reading() as connection:
        return {name: sorted(map(repr, connection.execute(table.select()))) for name, table in METADATA.tables.items()}


@pytest.mark.parametrize(("method", "path", "body"), ORDERS, ids=[path for _, path, _ in ORDERS])
def test_what_is_tried_is_answered_and_taken_back(
    http: TestClient, centre: Centre, web1: ScriptedHost, method: str, path: str, body: dict[str, Any]
) -> None:
    """Ids and times aside the answer is that of the order itself; nothing is written down, not even who tried it."""
    _move_tag(centre)
    before = everything(centre.db)
    tried = http.request(method, DRY_RUN + path, json=body)
    assert tried.status_code in (200, 201), tried.text
    assert everything(centre.db) == before
    done = http.request(method, PREFIX + path, json=body)
    assert (tried.status_code, tried.json().keys()) == (done.status_code, done.json().keys())
    assert everything(centre.db) != before


def test_what_would_be_refused_is_refused_in_the_same_words(
    http: TestClient, centre: Centre, web1: ScriptedHost, caplog: pytest.LogCaptureFixture
) -> None:
    """And the audit does not say, nor tries to beside the transaction, that somebody was refused what he did not want."""
    body = {"host": "web-1", "container": "web"}
    before = everything(centre.db)
    tried = http.post(f"{DRY_RUN}/undo", json=body)
    assert (everything(centre.db), caplog.records) == (before, [])
    real = http.post(f"{PREFIX}/undo", json=body)
    assert (tried.status_code, tried.json()["detail"]) == (409, real.json()["detail"])
    assert next(act.action for act in audit.acts(centre.db).items) == "refused"


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/hosts"), ("DELETE", "/hosts/web-1"), ("POST", "/mirrors/test"), ("POST", "/plans")]
)
def test_what_reaches_beyond_the_database_is_not_tried(
    http: TestClient, centre: Centre, web1: ScriptedHost, method: str, path: str
) -> None:
    """A broker, a host or a registry takes nothing back."""
    before = everything(centre.db)
    answer = http.request(method, DRY_RUN + path, json={} if method == "POST" else None)
    assert (answer.status_code, "cannot try this without doing it" in answer.json()["detail"]) == (409, True)
    assert everything(centre.db) == before


def test_what_was_tried_is_taken_back_before_anybody_reads_the_answer(
    app: Behind, centre: Centre, web1: ScriptedHost
) -> None:
    """Who reads slowly, or not at all, would else keep everybody from writing."""
    written = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b'{"kind": "freeze", "reason": "x"}'}

    async def send(message: Message) -> None:
        # On SQLite this waits for whoever else writes, and fails in the end.
        audit.record(centre.db, by="person:test", door="test", action="meanwhile", subject=message["type"])
        written.append(message["type"])

    headers = [(b"host", b"x"), (b"content-type", b"application/json")]
    path = f"{DRY_RUN}/stops"
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": headers,
    }
    centre.db.engine.dispose()
    asyncio.run(app({**scope, "app": None, "root_path": "", "scheme": "http", "state": {}}, receive, send))
    assert written == ["http.response.start", "http.response.body"]


def test_no_registry_is_asked_while_everybody_waits(http: TestClient, web1: ScriptedHost) -> None:
    answer = http.post(f"{DRY_RUN}/updates", json={"host": "web-1", "check": True})
    assert (answer.status_code, answer.json()["detail"].partition(";")[0]) == (
        409,
        "cannot ask registries in a dry run",
    )


def test_to_look_at_something_holds_nobody_up(
    http: TestClient, centre: Centre, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Database, "taken_back", None)
    assert http.get(f"{DRY_RUN}/hosts").status_code == 200


def test_nobody_who_may_not_write_keeps_others_from_writing(
    http: TestClient, port: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the port anybody may ask; a transaction begins for a token that may order something alone."""
    secrets = {
        scope: http.post(f"{PREFIX}/tokens", json={"name": scope, "scope": scope}).json()["secret"]
        for scope in ("read", "write")
    }
    begun: list[Database] = []
    taken_back = Database.taken_back

    def begin(db: Database) -> AbstractContextManager[Database]:
        begun.append(db)
        return taken_back(db)

    monkeypatch.setattr(Database, "taken_back", begin)
    for secret, status in (("", 401), ("fpat_wrong", 401), (secrets["read"], 403), (secrets["write"], 201)):
        assert not begun
        headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        answer = port.post(f"{DRY_RUN}/stops", json={"kind": "freeze", "reason": "x"}, headers=headers)
        assert answer.status_code == status, answer.text
    assert len(begun) == 1
