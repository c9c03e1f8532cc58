"""The feed of events over real sockets: nothing is missed, and who waits costs nothing."""

import contextlib
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from fleet.history.noted.events import event, tell
from fleet.history.notify import feed as numbered
from fleet.history.sql.database import Database
from fleet.ids import new_id
from fleet.notify.events import EventType
from fleet.notify.severity import Severity
from fleet.web import feed
from fleet.web.doors import Behind, Door
from fleet.web.pages.visitors import COOKIE
from fleet.web.process import Server, config_of
from tests.controller.centre import Centre, ScriptedHost
from tests.web.test_routes import API, _move_tag, carry_out

PATIENCE_S = 150.0
"""Far more than anything takes, for machines that are busy."""
EVENTS = f"{API}/events"


def happen(
    db: Database, *subjects: str, kind: tuple[EventType, Severity] = (EventType.CONDITION_RAISED, Severity.WARNING)
) -> None:
    """Let conditions be raised, all of them at once."""
    with db.writing() as connection:
        now = db.moment(connection)
        details = {"code": "mirror-down", "title": "mirror down", "text": "x", "remedy": "y"}
        tell(connection, [event(id=new_id(), kind=kind, at=now, subject=each, details=details) for each in subjects])


class Stream:
    """One who follows, over a connection of his own."""

    def __init__(self, path: Path, query: str = "", **headers: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE_S)
        self.socket.connect(str(path))
        more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        self.socket.sendall(f"GET {EVENTS}{query} HTTP/1.1\r\nHost: x\r\n{more}\r\n".encode())
        self.heard = b""
        self.until(b"\r\n\r\n")
        self.head, _, self.heard = self.heard.partition(b"\r\n\r\n")

    def until(self, *signs: bytes) -> str:
        """Read until *signs* came, one after the other; return all that came."""
        while not re.search(b".*?".join(map(re.escape, signs)), self.heard, re.DOTALL):
            part = self.socket.recv(65536)
            if not part:
                raise EOFError(self.heard)
            self.heard += part
        return self.heard.decode()

    def subjects(self, last: str) -> list[str]:
        """Return the subjects of all events up to that of *last*."""
        return [told["subject"] for told in self.events(last)]

    def events(self, last: str) -> list[dict[str, Any]]:
        """Return all events up to that whose subject is *last*."""
        self.until(f'"subject":"{last}"'.encode(), b"\n\n")
        return [json.loads(line) for line in re.findall(r"^data: (\{.*\})$", self.heard.decode(), re.MULTILINE)]

    def ids(self) -> list[int]:
        """Return the ids that came."""
        return [int(each) for each in re.findall(r"^data: .*\nid: (\d+)$", self.heard.decode(), re.MULTILINE)]

    def close(self) -> None:
        self.socket.close()


@pytest.fixture
def door(app: Behind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The centre's socket, which looks for events more often than usual."""
    yield from serving(app, tmp_path / "s", monkeypatch)


@pytest.fixture
def gate(app: Behind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The door that wants tokens, at a socket."""
    yield from serving(Behind(app.app, Door.PORT), tmp_path / "p", monkeypatch)


def serving(app: Behind, path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(feed, "LOOK_S", 0.05)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    with listening:
        server = Server(config_of(app))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield path
        app.app.state.centre.feed.end()  # type: ignore[attr-defined]
        server.should_exit = True
        thread.join()


def test_who_follows_hears_what_happens_from_then_on_in_one_order(door: Path, centre: Centre) -> None:
    happen(centre.db, "before")
    with contextlib.closing(Stream(door)) as one, contextlib.closing(Stream(door)) as two:
        for each in (one, two):
            assert b"text/event-stream" in each.head
            assert b"x-accel-buffering: no" in each.head.lower()
            assert b"no-store" in each.head
            each.until(b"retry: ")
        wait_for(centre, followers=2)
        for n in range(5):
            happen(centre.db, f"m{n}")
        assert one.subjects("m4") == two.subjects("m4") == [f"m{n}" for n in range(5)]
        assert one.ids() == two.ids() == sorted(set(one.ids()))
        (first, *_) = one.events("m4")
    assert (first["specversion"], first["type"], first["severity"]) == ("1.0", "fleet.condition.raised", "warning")


def wait_for(centre: Centre, *, followers: int) -> None:
    """Wait until so many follow, and the feed is looked at where any does."""
    served = _feed(centre)
    ends = time.monotonic() + PATIENCE_S
    while len(served._followers) != followers or (served._looking is None) is not (followers == 0):
        assert time.monotonic() < ends
        time.sleep(0.01)


_SERVED: dict[int, feed.Feed] = {}


def _feed(centre: Centre) -> feed.Feed:
    return _SERVED[id(centre)]


@pytest.fixture(autouse=True)
def known(app: Behind, centre: Centre) -> Iterator[None]:
    """Know the feed that is served."""
    _SERVED[id(centre)] = app.app.state.centre.feed  # type: ignore[attr-defined]
    yield
    del _SERVED[id(centre)]


def test_who_was_cut_off_misses_nothing(door: Path, centre: Centre) -> None:
    with contextlib.closing(Stream(door)) as stream:
        stream.until(b"retry: ")
        wait_for(centre, followers=1)
        happen(centre.db, "a", "b")
        stream.until(b'"subject"', b"\n\n")
        seen = stream.ids()[0]
    wait_for(centre, followers=0)
    happen(centre.db, *(f"away{n}" for n in range(2 * numbered.PAGE + 7)))
    happen(centre.db, "late")
    with contextlib.closing(Stream(door, Last_Event_ID=str(seen))) as again:
        happen(centre.db, "live")
        found = again.subjects("live")
    assert len(found) == len(set(found)) == 2 * numbered.PAGE + 7 + 3
    assert found[-2:] == ["late", "live"]
    assert set(found[:1]) <= {"a", "b"}


def test_who_is_behind_gets_what_memory_holds_no_more(
    door: Path, centre: Centre, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "_KEPT", 3)
    with contextlib.closing(Stream(door)) as first:
        first.until(b"retry: ")
        happen(centre.db, *(f"m{n}" for n in range(10)))
        first.subjects("m9")
        with contextlib.closing(Stream(door, Last_Event_ID="1")) as behind:
            assert behind.subjects("m9") == [f"m{n}" for n in range(1, 10)]


def test_who_chooses_gets_what_was_read_when_nobody_chose(
    door: Path, http: TestClient, centre: Centre, web1: ScriptedHost
) -> None:
    with contextlib.closing(Stream(door)) as first:
        first.until(b"retry: ")
        _move_tag(centre)
        plan = http.post(f"{API}/plans", json={"check": False}).json()["plan"]
        http.post(f"{API}/plans/{plan['id']}/apply", json={})
        carry_out(centre, web1)
        told = ["rollout/1", "web-1/web", "rollout/1"]
        first.until(b"fleet.rollout.completed")
        assert first.subjects("rollout/1")[:1] == told[:1]
        with contextlib.closing(Stream(door, "?host=web-1", Last_Event_ID="0")) as choosing:
            choosing.until(b"fleet.rollout.completed", b"\n\n")
            assert [each["subject"] for each in choosing.events("web-1/web")] == told


def test_what_is_committed_late_is_heard_late_and_not_missed(door: Path, centre: Centre) -> None:
    """Its time and its id are older than those of what was heard before."""
    with centre.db.writing() as connection:
        old = centre.db.moment(connection) - timedelta(minutes=5)
    with contextlib.closing(Stream(door)) as stream:
        stream.until(b"retry: ")
        wait_for(centre, followers=1)
        happen(centre.db, "young")
        stream.until(b'"subject":"young"')
        with centre.db.writing() as connection:
            details = {"code": "mirror-down", "title": "mirror down"}
            kind = (EventType.CONDITION_RAISED, Severity.WARNING)
            tell(connection, [event(id=new_id(), kind=kind, at=old, subject="old", details=details)])
        assert stream.subjects("old") == ["young", "old"]


def test_what_is_not_kept_any_more_is_told_of(door: Path, centre: Centre) -> None:
    happen(centre.db, "a", "b", "c")
    numbered.number_all(centre.db)
    with centre.db.writing() as connection:
        connection.exec_driver_sql("DELETE FROM events WHERE number < 3")
    for after, lost in (("1", True), ("2", False), ("99", True)):
        with contextlib.closing(Stream(door, "?follow=false", Last_Event_ID=after)) as stream:
            told = stream.until(b'"subject"')
            assert ("event: lost" in told) is lost
            if lost:
                assert f'"after":{after},"oldest":3' in told
    with centre.db.writing() as connection:
        connection.exec_driver_sql("DELETE FROM events")
    with contextlib.closing(Stream(door, "?follow=false", Last_Event_ID="1")) as stream:
        assert '"oldest":4' in stream.until(b'"oldest"')
    happen(centre.db, "d")
    numbered.number_all(centre.db)
    assert numbered.bounds(centre.db) == numbered.Bounds(oldest=4, last=4), "numbers are never given twice"


def test_a_stream_without_following_ends_with_the_last_event(http: TestClient, centre: Centre) -> None:
    happen(centre.db, "a")
    cut = centre.db.now() + timedelta(milliseconds=1)
    while centre.db.now() <= cut:
        pass
    happen(centre.db, "b", kind=(EventType.CONDITION_ENDED, Severity.INFO))
    happen(centre.db, "c", kind=(EventType.CONDITION_RAISED, Severity.ERROR))

    def subjects(**query: Any) -> list[str]:
        answer = http.get(EVENTS, params={"follow": "false", **query})
        assert answer.status_code == 200, answer.text
        return re.findall(r'"subject":"(\w+)"', answer.text)

    assert subjects() == ["a", "b", "c"]
    assert subjects(since=cut.isoformat()) == ["b", "c"]
    assert subjects(event="condition.ended") == ["b"]
    assert subjects(event="mirror-*", severity="error") == ["c"]
    assert subjects(host="web-1") == []
    assert subjects(rollout="7") == []
    for query in ({"event": "no.such"}, {"severity": "loud"}, {"rollout": "-1"}):
        assert http.get(EVENTS, params=query).status_code == 422
    for id in ("x", "-1", "1" * 30):
        assert http.get(EVENTS, headers={"Last-Event-ID": id}).status_code == 422


def test_quiet_streams_are_kept_alive_and_the_clients_that_are_gone_forgotten(
    door: Path, centre: Centre, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "KEEP_ALIVE_S", 0.05)
    with contextlib.closing(Stream(door)) as stream:
        stream.until(b": \nid: 0\n\n")
        wait_for(centre, followers=1)
    wait_for(centre, followers=0)


def test_who_has_no_token_that_holds_follows_nothing(
    gate: Path, http: TestClient, centre: Centre, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "PROVED_S", 0.1)
    secret = http.post(f"{API}/tokens", json={"name": "eye", "scope": "read"}).json()["secret"]
    with (
        contextlib.closing(Stream(gate)) as nobody,
        contextlib.closing(Stream(gate, Authorization="Bearer x")) as wrong,
    ):
        assert b" 401 " in nobody.head
        assert b" 401 " in wrong.head
    with (
        contextlib.closing(Stream(gate, Authorization=f"Bearer {secret}")) as one,
        contextlib.closing(Stream(gate, Cookie=f"{COOKIE}={secret}")) as two,
    ):
        assert b" 200 " in one.head
        assert b" 200 " in two.head
        wait_for(centre, followers=2)
        http.delete(f"{API}/tokens/eye")
        for each in (one, two):
            each.until(b"0\r\n\r\n")
        wait_for(centre, followers=0)


def test_streams_are_counted_for_each_caller_and_in_all(
    door: Path, centre: Centre, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "MOST_OF_ONE", 2)
    with contextlib.closing(Stream(door)), contextlib.closing(Stream(door)):
        wait_for(centre, followers=2)
        with contextlib.closing(Stream(door)) as third:
            assert b" 429 " in third.head
            assert "retry-after: 15" in third.head.decode().lower()
        monkeypatch.setattr(feed, "MOST_OF_ONE", 9)
        monkeypatch.setattr(feed, "MOST_FOLLOWERS", 2)
        with contextlib.closing(Stream(door)) as third:
            assert b" 429 " in third.head
    wait_for(centre, followers=0)


def test_the_end_of_the_process_ends_every_stream_at_once(door: Path, centre: Centre) -> None:
    with contextlib.closing(Stream(door)) as stream:
        wait_for(centre, followers=1)
        stream.until(b"retry: ")
        _feed(centre)._looking.get_loop().call_soon_threadsafe(_feed(centre).end)  # type: ignore[union-attr]
        stream.until(b"0\r\n\r\n")


def test_a_dry_run_follows_nothing(http: TestClient) -> None:
    """It would keep all that comes until an end that never comes."""
    answer = http.get(f"{API}/dry-run/events")
    assert (answer.status_code, answer.json()["code"]) == (409, "refused")
