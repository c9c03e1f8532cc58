"""What runs here is told whole: at the start, when it changed and has settled, and in messages that pass."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from uuid import uuid4

import pytest

from fleet.agent.commands import Commands
from fleet.agent.facts import Facts
from fleet.agent.heartbeat import LOOK_S, Reporter
from fleet.agent.inventory import SETTLE_S, Inventory, is_telling, parts, watch
from fleet.agent.outbox import Outbox
from fleet.agent.problems import Problems
from fleet.clock import SystemClock
from fleet.engine.protocol import EngineEvent
from fleet.errors import EngineUnreachable
from fleet.mirrors.endpoint import daemon_endpoint
from fleet.mirrors.source import MirrorRule, Provenance
from fleet.mirrors.sources import HostMirrors
from fleet.road.envelope import CENTRE, open_up, seal
from fleet.road.keys import SigningKey
from fleet.road.messages import Heartbeat, Offer, Snapshot, Up
from fleet.testing.clock import ManualClock
from fleet.testing.engine import MemoryEngine
from fleet.updates.journal import Journal
from fleet.updates.known import KnownDigests
from fleet.updates.snapshot import ContainerState

MIRROR = MirrorRule(
    for_registry="docker.io", endpoint=daemon_endpoint("https://mirror.example"), provenance=Provenance.DAEMON_FILE
)


class Site:
    """An engine with one container, and a reporter of it."""

    def __init__(self, path: Path, clock: ManualClock) -> None:
        self.clock, self.problems = clock, Problems()
        self.engine = MemoryEngine(clock)
        self.engine.add_image("nginx:1")
        self.engine.run("web", "nginx:1")
        self.said: list[Up] = []
        self.commands = Commands(Journal(path / "journal"))
        self.mirrors = HostMirrors(rules=(MIRROR,), problems=("daemon-json-unreadable: cannot read it",))
        self.facts = Facts(self.engine, lambda facts: self.mirrors, self.problems)
        known = KnownDigests(path / "known.json")
        self.inventory = Inventory(
            self.engine, known, self.facts, self.said.append, clock=clock, problems=self.problems
        )
        self.reporter = Reporter(
            say=self.said.append,
            facts=self.facts,
            inventory=self.inventory,
            commands=self.commands,
            outbox=Outbox(path / "outbox", clock=clock, problems=self.problems),
            problems=self.problems,
            clock=clock,
        )

    def step(self, after_s: float = 0) -> list[str]:
        """Let time pass, take a step, and return the kinds of what was said."""
        self.clock.advance(after_s)
        self.said.clear()
        self.next_s = self.reporter.step()
        return [message.kind for message in self.said]


@pytest.fixture
def site(tmp_path: Path, clock: ManualClock) -> Site:
    """Begin with one container."""
    return Site(tmp_path, clock)


def test_at_the_start_the_snapshot_comes_before_the_heartbeat_that_names_it(site: Site) -> None:
    assert site.step() == ["snapshot", "heartbeat"]
    snapshot, heartbeat = site.said
    assert isinstance(snapshot, Snapshot)
    assert isinstance(heartbeat, Heartbeat)
    assert [container.name for container in snapshot.containers] == ["web"]
    assert snapshot.mirrors == (MIRROR,)
    assert heartbeat.snapshot_hash == snapshot.hash == site.inventory.hash
    assert heartbeat.facts.engine_id == "MEMORY:memory"
    assert heartbeat.facts.problems == ("daemon-json-unreadable: cannot read it",)


def test_a_heartbeat_comes_every_five_minutes_more_or_less(site: Site) -> None:
    site.step()
    assert site.step(265) == []
    assert site.step(70) == ["heartbeat"]


def test_a_heartbeat_names_what_is_held(site: Site) -> None:
    id = uuid4()
    site.commands.receive(Offer(command=id), site.clock.now(), lambda outcome: None)
    site.step()
    (heartbeat,) = [message for message in site.said if isinstance(message, Heartbeat)]
    assert heartbeat.claims == (id,)
    assert (heartbeat.ready, heartbeat.outcomes_waiting) == ((), 0)


def test_when_the_queue_is_read_again_a_heartbeat_comes_at_once(site: Site) -> None:
    site.step()
    site.reporter.beat_now()
    assert site.step(1) == ["heartbeat"]


def test_a_change_is_told_once_the_engine_is_quiet(site: Site) -> None:
    site.step()
    site.engine.run("db", "nginx:1")
    site.inventory.changed()
    assert site.step(3) == []
    site.inventory.changed()
    assert site.step(3) == []
    assert site.step(2) == ["snapshot"]


def test_an_engine_that_is_never_quiet_is_told_of_all_the_same(site: Site) -> None:
    site.step()
    site.engine.run("db", "nginx:1")
    told = []
    for _ in range(20):
        site.inventory.changed()
        told += site.step(SETTLE_S - 1)
    assert told.count("snapshot") == 1


def test_events_that_changed_nothing_are_not_told(site: Site) -> None:
    site.step()
    site.inventory.changed()
    assert site.step(10) == []


def test_mirrors_that_changed_in_a_file_are_told_at_the_next_look(site: Site) -> None:
    """No event of the engine tells of a file, and plans show the route by what the centre knows."""
    site.step()
    site.mirrors = HostMirrors()
    assert site.step(site.next_s) == ["snapshot"]
    (snapshot,) = site.said
    assert isinstance(snapshot, Snapshot)
    assert snapshot.mirrors == ()
    assert site.next_s <= LOOK_S
    assert site.step(site.next_s) == []


def test_the_centre_gets_what_it_asks_for_though_nothing_changed(site: Site) -> None:
    site.step()
    site.inventory.ask()
    assert site.step() == ["snapshot"]


def test_an_engine_that_is_away_is_a_problem_and_no_end(site: Site) -> None:
    site.step()
    site.engine.fail("*", EngineUnreachable("cannot reach it"), times=100)
    site.inventory.changed()
    assert site.step(20) == []
    assert site.step(10) == ["heartbeat"]
    (heartbeat,) = site.said
    assert isinstance(heartbeat, Heartbeat)
    assert heartbeat.facts.problems[0] == "engine-away: cannot reach it"
    assert heartbeat.facts.engine_id == "MEMORY:memory"
    site.engine.heal()
    assert site.step(400) == ["heartbeat"]
    assert site.problems.lines() == ()


def state(name: str, **labels: str) -> ContainerState:
    """Return a container of that name."""
    return ContainerState(id=name * 8, name=name, reference="nginx:1", image_id="sha256:" + "a" * 64, labels=labels)


def test_a_large_snapshot_is_split_between_containers_and_every_part_passes() -> None:
    containers = [state(f"web-{number}", **{"fleet.note": "x" * 900}) for number in range(2_000)]
    key, host = SigningKey.generate(), uuid4().hex
    told = parts("hash", containers, [MIRROR])
    assert len(told) > 1
    assert [part.part for part in told] == list(range(len(told)))
    assert {part.parts for part in told} == {len(told)}
    assert [container for part in told for container in part.containers] == containers
    assert [bool(part.mirrors) for part in told] == [True] + [False] * (len(told) - 1)
    for part in told:
        sealed = seal(part, key=key, issuer=host, audience=CENTRE, clock=SystemClock())
        assert open_up(sealed, keys=lambda kid: (host, key.public)).message == part


@pytest.mark.parametrize("most_bytes", [1_000, 4_000, 10_000])
def test_every_part_is_full_and_none_is_too_large_or_empty(most_bytes: int) -> None:
    containers = [state(f"web-{number}", **{"fleet.note": "x" * (number * 37 % 300)}) for number in range(60)]
    told = parts("hash", containers, [MIRROR] * 3, most_bytes=most_bytes)
    sizes = [
        [len(Snapshot(hash="", containers=(each,)).model_dump_json()) for each in part.containers] for part in told
    ]
    assert all(sizes), "a part without a container"
    assert all(sum(each) <= most_bytes for each in sizes if len(each) > 1)
    for before, after in pairwise(sizes[1:]):
        assert sum(before) + after[0] > most_bytes, "the next one had had room"


def test_one_container_with_monstrous_labels_is_told_without_them() -> None:
    (told,) = parts("hash", [state("web", **{"fleet.note": "x" * 10**6})], [])
    assert told.containers[0].name == "web"
    assert told.containers[0].labels == {}
    assert told.containers[0].own is None


def test_an_empty_host_is_one_part() -> None:
    assert parts("hash", [], []) == [Snapshot(hash="hash", containers=())]


@pytest.mark.parametrize(
    ("action", "telling"),
    [
        ("start", True),
        ("die", True),
        ("health_status: unhealthy", True),
        ("untag", True),
        ("exec_create: sh -c probe", False),
        ("exec_die", False),
        ("top", False),
        ("pull", False),
    ],
)
def test_only_what_may_change_a_snapshot_is_heard(action: str, telling: bool) -> None:
    event = EngineEvent(kind="container", action=action, id="x", at=datetime.now(UTC))
    assert is_telling(event) is telling
    heard: list[str] = []
    watch([event], lambda: heard.append("changed"), lambda: False)
    assert bool(heard) is telling


def test_a_host_whose_clock_is_off_says_its_own_time(site: Site) -> None:
    site.step()
    heartbeat = site.said[-1]
    assert isinstance(heartbeat, Heartbeat)
    assert heartbeat.host_time - site.clock.now() < timedelta(seconds=1)
