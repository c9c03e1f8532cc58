"""Events from the command line, over a real socket."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fleet.history.notify import feed as numbered
from fleet.web import feed
from fleet.web.doors import Behind
from tests.cli.conftest import Fleet
from tests.controller.centre import Centre
from tests.web.test_events import happen

pytestmark = [pytest.mark.usefixtures("served"), pytest.mark.redis]

PATIENCE_S = 150.0


def test_what_happened_is_told_in_lines_and_for_programs(fleet: Fleet, centre: Centre) -> None:
    assert fleet("events").lines == []
    happen(centre.db, "https://m1")
    happen(centre.db, "https://m2")
    first, second = fleet("events").lines
    assert "Z  warning  condition.raised" in first
    assert first.endswith("mirror down: https://m1: x")
    assert second.endswith("https://m2: x")
    document = json.loads(fleet("events", "-o", "json").out)
    assert [(told["number"], told["subject"]) for told in document["events"]] == [(1, "https://m1"), (2, "https://m2")]
    (line,) = fleet("events", "-o", "jsonl", "--after", "1").lines
    assert json.loads(line)["subject"] == "https://m2"
    assert "subject: https://m1" in fleet("events", "-o", "yaml").out
    assert (
        fleet("events", "--event", "update.*", "--severity", "error", "--host", "web-*", "--rollout", "#7").lines == []
    )


def test_what_is_gone_is_told_of(fleet: Fleet, centre: Centre) -> None:
    happen(centre.db, "a", "b")
    numbered.number_all(centre.db)
    with centre.db.writing() as connection:
        connection.exec_driver_sql("DELETE FROM events")
    ran = fleet("events", "--after", "1")
    assert (ran.code, ran.lines) == (0, [])
    assert "not kept any more; it goes on with number 3" in ran.err


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (("--event", "nothing"), "is no event"),
        (("--after", "x"), "cannot use 'x' as Last-Event-ID"),
        (("--after", "1", "--since", "2h"), "cannot begin at two places"),
        (("--follow", "-o", "yaml"), "choose -o jsonl"),
    ],
)
def test_what_cannot_be_asked_is_told(fleet: Fleet, args: tuple[str, ...], why: str) -> None:
    ran = fleet("events", *args)
    assert ran.code == 1
    assert why in ran.err


def test_who_follows_goes_on_behind_what_came_last_where_he_is_cut_off(
    served: Path, centre: Centre, app: Behind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "LOOK_S", 0.05)
    serving: feed.Feed = app.app.state.centre.feed  # type: ignore[attr-defined]
    command = (sys.executable, "-m", "fleet.cli.main", "events", "--follow", "-o", "json")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as following:
        assert following.stdout
        assert following.stderr
        looking = _wait(lambda: serving._looking)
        looking.get_loop().call_soon_threadsafe(_cut, serving)
        _wait(lambda: not serving._followers)
        happen(centre.db, "while away")
        assert json.loads(following.stdout.readline())["subject"] == "while away"
        happen(centre.db, "there")
        assert json.loads(following.stdout.readline())["subject"] == "there"
        following.send_signal(signal.SIGINT)
        assert (following.wait(PATIENCE_S), following.stdout.read(), following.stderr.read().strip()) == (130, "", "")


def _cut(serving: feed.Feed) -> None:
    """End every stream, as a server does that is started anew."""
    for each in serving._followers:
        each.closed = True
    serving._tell()


def _wait(found: Callable[[], Any]) -> Any:
    ends = time.monotonic() + PATIENCE_S
    while not (value := found()):
        assert time.monotonic() < ends
        time.sleep(0.01)
    return value
