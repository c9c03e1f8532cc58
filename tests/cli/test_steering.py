"""Whatever a host said of itself and its containers, nothing that is printed steers the terminal it is read on."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from fleet.road.messages import Heartbeat, HostFacts, Snapshot
from tests.cli.conftest import Fleet
from tests.controller.centre import Centre, ScriptedHost, nginx

EVIL = "\x1b]0;x\x07\x9b2J\u202e\x7f\r"


@pytest.fixture
def evil(centre: Centre, monkeypatch: pytest.MonkeyPatch) -> ScriptedHost:
    """A host whose every word steers, in a history that an earlier release kept as it came."""
    monkeypatch.setattr("fleet.history.sql.plain._plain", lambda text, lines: text)
    host = centre.add_host("web-1")
    facts = HostFacts(
        **dict.fromkeys(("agent_version", "engine_name", "engine_version", "os", "architecture"), EVIL),
        engine_id="x",
        problems=(f"{EVIL}: {EVIL}",),
    )
    container = nginx(f"web{EVIL}", labels={f"fleet.{EVIL}": EVIL}, health=EVIL)
    host.say(Snapshot(hash="a", containers=(container,)))
    host.say(Heartbeat(facts=facts, snapshot_hash="a", host_time=datetime.now(UTC)))
    centre.turn()
    return host


SAID = (
    "host show web-1",
    "doctor",
    "plan",
    "ps",
    "ps -q",
    "-o wide ps",
    "-o json ps",
    "-o yaml ps",
    "-o jsonl ps",
    "-o csv ps",
)


@pytest.mark.redis
def test_no_command_hands_a_hosts_signs_on(fleet: Fleet, served: Path, evil: ScriptedHost) -> None:
    for words in SAID:
        ran = fleet(*words.split(" "))
        said = ran.out + ran.err
        assert said.replace("\n", "").isprintable(), (words, said)


def test_no_error_does_either(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEET_SOCKET", f"/nowhere/{EVIL}")
    ran = fleet("ps")
    assert ran.err.startswith("cannot reach the server at unix:///nowhere/")
    assert ran.err.replace("\n", "").isprintable()
