"""Bad input at the real command line and at the doors: one line that begins with "cannot", the right exit code, nothing changed."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.lab.centre import FLEET
from tests.lab.engines import Generation
from tests.lab.lab import Host
from tests.lab.machines import Machine, eventually
from tests.scenarios.small_fleet import API_PORT, HEARTBEATS, PATIENCE_S, SmallFleet

BAD = (
    (("host", "show", "nobody"), 5),
    (("host", "rm", "nobody", "--yes"), 5),
    (("host", "add", "oak", "--out", "-"), 6),
    (("update", "nobody"), 5),
    (("update", "oak", "nobody"), 5),
    (("plan", "--host", "nobody"), 5),
    (("apply", "00000000"), 5),
    (("mirror", "explain", "NGINX"), 1),
    (("mirror", "explain", "nginx@sha256:123"), 1),
    (("schedule", "create", "n", "--cron", "every night"), 1),
    (("schedule", "create", "n", "--cron", "61 * * * *"), 1),
    (("schedule", "create", "n", "--cron", "0 3 * * *", "--zone", "Mars/Olympus"), 1),
    (("history", "show", "00000000"), 5),
)
COUNTED = ("hosts", "rollouts", "commands", "schedules", "plans", "policies", "tokens")


class Said(NamedTuple):
    """What one command came to."""

    code: int
    out: str
    err: str

    def assert_refused(self, code: int) -> None:
        """Assert that it ended with *code* and one clear line."""
        assert (self.code, self.out) == (code, ""), self
        assert self.err.startswith("cannot "), self
        assert len(self.err.splitlines()) == 1, self


def say(machine: Machine, *arguments: str | Path, **environment: str) -> Said:
    """Say one fleet command on *machine*."""
    done = machine.run(*FLEET, *arguments, check=False, environment=environment, timeout_s=PATIENCE_S)
    return Said(done.returncode, done.stdout, done.stderr)


def counts(fleet: SmallFleet) -> Sequence[str]:
    """Return how many rows each table has that a command could have written."""
    return [fleet.database.ask(f"select count(*) from {table}") for table in COUNTED]


def test_unknown_names_references_crons_and_zones_are_refused_and_change_nothing(
    fleet: SmallFleet, subtests: pytest.Subtests
) -> None:
    before = counts(fleet)
    for arguments, code in BAD:
        with subtests.test(arguments=arguments):
            say(fleet.centre.machine, *arguments).assert_refused(code)
    assert counts(fleet) == before


def test_a_wrong_token_is_refused_and_a_right_one_is_not(fleet: SmallFleet) -> None:
    """At the port of the API, asked from another machine."""
    machine, centre = fleet.oak.machine, fleet.centre
    door = ("--server", f"https://{centre.machine.address}:{API_PORT}", "--ca-file", fleet.lab.ca)
    right, wrong = machine.folder / "right", machine.folder / "wrong"
    right.write_text(centre.ask("token", "create", "scenario")["secret"])
    wrong.write_text(right.read_text()[:-2] + "xx")
    say(machine, *door, "host", "ls").assert_refused(4)
    say(machine, *door, "--token-file", wrong, "host", "ls").assert_refused(4)
    assert say(machine, *door, "--token-file", right, "host", "ls").code == 0
    say(machine, *door, "--token-file", right, "host", "add", "thief", "--out", "-").assert_refused(4)
    centre.fleet("token", "revoke", "scenario")
    say(machine, *door, "--token-file", right, "host", "ls").assert_refused(4)


def test_processes_without_broker_database_or_join_file_say_so(fleet: SmallFleet) -> None:
    machine = fleet.centre.machine
    say(machine, "controller", FLEET_BROKER_URL="").assert_refused(1)
    say(machine, "db", "upgrade", FLEET_DATABASE_URL="postgresql://fleet@127.0.0.1:9/fleet").assert_refused(8)
    say(machine, "agent").assert_refused(1)
    say(machine, "agent", "--join", "/nowhere/host.join").assert_refused(1)
    say(machine, "host", "ls", FLEET_SOCKET="/nowhere/fleet.sock").assert_refused(8)


def test_without_its_broker_the_centre_tells_what_it_knows_and_says_what_is_wrong(fleet: SmallFleet) -> None:
    """A host that is added meanwhile gets its login at the broker once that is there."""
    machine, before = fleet.centre.machine, counts(fleet)
    fleet.redis.kill()
    try:
        assert say(machine, "host", "ls").code == 0
        told = say(machine, "doctor")
        assert told.code == 1
        assert "FAIL cannot use the broker at rediss://" in told.out
        assert counts(fleet) == before
        added = say(machine, "host", "add", "late", "--out", "-")
        assert added.code == 0, added
        login = json.loads(added.out)["login"]
    finally:
        fleet.redis.start()
        fleet.redis.ready()
    eventually("the login that waited", lambda: login in fleet.redis.ask("ACL", "USERS").split(), within_s=PATIENCE_S)
    fleet.centre.fleet("host", "rm", "late", "--yes")
    eventually("its end", lambda: login not in fleet.redis.ask("ACL", "USERS").split(), within_s=PATIENCE_S)


def test_a_broken_daemon_json_is_shown(fleet: SmallFleet) -> None:
    file = fleet.elm.machine.root / "etc/docker/daemon.json"
    sound = file.read_text()
    file.write_text('{"registry-mirrors": [')
    try:
        eventually("its problem", lambda: "daemon-json-broken: cannot read" in show(fleet, "elm"), within_s=PATIENCE_S)
        told = say(fleet.centre.machine, "doctor")
        assert told.code == 1
        assert re.search(
            r"^FAIL elm: cannot read /etc/docker/daemon\.json: it is not JSON .*\n +fix: .* dockerd --validate",
            told.out,
            re.M,
        )
    finally:
        file.write_text(sound)
    eventually("its end", lambda: "daemon-json-broken" not in show(fleet, "elm"), within_s=PATIENCE_S)


@pytest.fixture
def bare(fleet: SmallFleet) -> Iterator[Host]:
    """Give a host without an engine, whose agent runs by the real command."""
    host = Host(fleet.lab.machine("bare"), Generation.V20)
    host.configure({})
    fleet.centre.add_host(host)
    agent = fleet.centre.start_agent(host, None, FLEET_ENGINE=host.url, **HEARTBEATS)
    yield host
    agent.kill()
    fleet.centre.agents.pop("bare")
    fleet.centre.fleet("host", "rm", "bare", "--yes")


def test_an_agent_without_an_engine_says_so_and_goes_on(fleet: SmallFleet, bare: Host) -> None:
    eventually("its problem", lambda: "engine-away: cannot" in show(fleet, "bare"), within_s=PATIENCE_S)
    told = say(fleet.centre.machine, "doctor")
    assert re.search(
        rf"^WARN bare: cannot .*: no answer from the engine at {re.escape(bare.url)}\n +fix: +is it running",
        told.out,
        re.M,
    )
    bare.start()
    bare.ready()
    eventually("an engine", lambda: "engine-away" not in show(fleet, "bare"), within_s=PATIENCE_S)
    host = json.loads(fleet.centre.fleet("host", "show", "bare", "-o", "json"))["host"]
    assert host["engine_version"].startswith("20.10")


def show(fleet: SmallFleet, host: str) -> str:
    """Return what ``fleet host show`` prints."""
    return fleet.centre.fleet("host", "show", host)
