"""``fleet up``: one command on one machine, and what it says where that cannot be."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from fleet.api.history import HistoryQuery
from fleet.api.plans import UpdateHost
from fleet.client import Client, ServerAddress
from fleet.errors import Unreachable
from tests import needs
from tests.controller.processes import wait_until
from tests.lab.engines import Generation
from tests.lab.images import Recipe, build
from tests.lab.lab import Host, Lab
from tests.lab.machines import Running

T = TypeVar("T")

FLEET = [sys.executable, "-m", "fleet.cli.main"]
PATIENCE_S = 150
"""A machine that does much else starts six processes slowly."""


def test_without_an_engine_it_says_so_and_starts_nothing(tmp_path: Path) -> None:
    state = tmp_path / "state"
    done = run_up("--state-dir", str(state), "--engine", f"unix://{tmp_path}/no.sock")
    assert (done.returncode, done.stdout) == (8, "")
    assert done.stderr.startswith("cannot ping the engine: no answer from the engine at unix://")
    assert not (state / "fleet.db").exists()


def test_an_engine_address_that_is_none_is_refused(tmp_path: Path) -> None:
    done = run_up("--state-dir", str(tmp_path), "--engine", "carrier-pigeon")
    assert (done.returncode, done.stderr[:6]) == (1, "cannot")


def test_a_state_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run_up("--state-dir", str(tmp_path / "file" / "state"))
    assert done.returncode == 1
    assert done.stderr.startswith("cannot make the state directory")


def test_a_setting_that_there_is_not_is_refused(tmp_path: Path) -> None:
    done = run_up("--state-dir", str(tmp_path), FLEET_PLANNER_TICKS="3")
    assert done.returncode == 1
    assert "did you mean FLEET_PLANNER_TICK_S?" in done.stderr


def run_up(*arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
    """Run ``fleet up`` where it is expected to end by itself."""
    return subprocess.run(
        [*FLEET, "up", *arguments], env={**os.environ, **more}, capture_output=True, text=True, timeout=60, check=False
    )


class Solo:
    """One machine with an engine and nothing else."""

    def __init__(self, host: Host) -> None:
        self.machine = host.machine
        self.state = host.machine.folder / "s"
        self.environment = {"FLEET_STATE_DIR": str(self.state), "PYTHONPATH": str(Path.cwd())}
        self.starts = 0

    def up(self) -> Running:
        """Start ``fleet up``."""
        self.starts += 1
        return self.machine.start(f"up{self.starts}", *FLEET, "up", environment=self.environment)

    def ask(self, question: Callable[[Client], T]) -> T | None:
        """Ask the API over this machine's socket; None where nobody answers."""
        with Client(ServerAddress.parse(str(self.state / "fleet.sock"))) as client:
            try:
                return question(client)
            except Unreachable:
                return None

    def lives(self) -> bool:
        """Tell whether a centre answers here, and has heard of the agent in this life of it."""
        hosts = self.ask(lambda client: client.hosts())
        return hosts is not None and [host.state for host in hosts.hosts] == ["online"]

    def pids(self, words: str) -> list[int]:
        """Return the processes of this machine whose command line has *words* in it."""
        done = self.machine.run("ps", "-eo", "pid=,stat=,args=")
        rows = [line.split(maxsplit=2) for line in done.stdout.splitlines()]
        return [int(pid) for pid, state, args in rows if words in args and state[0] != "Z" and "ps -eo" not in args]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Run a lab with the registry that is Docker Hub there."""
    needs.lab()
    with Lab() as lab:
        lab.origin()
        lab.host("solo", Generation.V20)
        lab.ready()
        yield lab


@pytest.mark.lab
@pytest.mark.redis
@pytest.mark.timeout(900)
def test_it_finds_plans_applies_and_remembers_though_everything_is_killed(lab: Lab) -> None:
    """The parent, the broker and each child are killed with -9 in turn; one order is carried out once, and stays."""
    host, solo = lab.hosts["solo"], Solo(lab.hosts["solo"])
    origin = lab.registries["origin"]
    origin.push("library/web", "1", build(Recipe(version="1")))
    host.docker("run", "-d", "--name", "web", "--network", "none", "web:1")
    parent = solo.up()
    wait_until(lambda: bool((found := solo.ask(lambda client: client.containers())) and found.containers), PATIENCE_S)
    newer = str(origin.push("library/web", "1", build(Recipe(version="2"))))

    parent.kill()
    parent = solo.up()
    wait_until(solo.lives, PATIENCE_S)
    for words in ("redis-server", "process web", "process planner", "process inbox", "process beat", "agent --join"):
        wait_until(lambda words=words: len(solo.pids(words)) == 1, PATIENCE_S)  # type: ignore[misc]
        victims = solo.pids(words)
        host.machine.run("kill", "-9", str(victims[0]))
        wait_until(lambda words=words, victims=victims: solo.pids(words) not in ([], victims), PATIENCE_S)  # type: ignore[misc]

    ordered = UpdateHost(host="solo", container="web")
    wait_until(lambda: solo.ask(lambda client: client.update(ordered)) is not None, PATIENCE_S)

    def done() -> list[tuple[str, str, str]]:
        page = solo.ask(lambda client: client.history(HistoryQuery()))
        return [(row.container, row.result.value, row.new_digest) for row in page.outcomes] if page else []

    wait_until(lambda: bool(done()), PATIENCE_S)
    assert done() == [("web", "updated", newer)]
    created = host.docker("events", "--since", "1h", "--until", str(time.time()), "--filter", "event=create")
    assert len(created.splitlines()) == 2
    parent.stop()
    assert solo.pids("fleet.") == []
