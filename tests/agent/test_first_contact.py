"""First contact, over a real broker, with the real centre and a real agent process that is killed at each of its steps."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from fleet.agent.identity import OWN, Identity
from fleet.clock import SystemClock
from fleet.controller import inventory, plans
from fleet.history.inbox import batch as inbox_batch
from fleet.history.inventory import hosts
from fleet.history.inventory.following import stale_page
from fleet.history.questions import queries
from fleet.history.questions.queries import OutcomeFilter
from fleet.history.registries import tags
from fleet.history.rules import policies
from fleet.history.tables.facts import commands
from fleet.history.tables.inventory import host_keys, rekeys
from fleet.history.tables.words import PolicyKind
from fleet.images.digest import Digest
from fleet.road.acl import password_hash
from fleet.road.embedded import EmbeddedBroker
from fleet.road.join import JoinFile
from fleet.road.up import lets_in
from fleet.rollouts.selector import Selector
from fleet.testing.engine import MemoryEngine
from fleet.updates.outcome import Result
from tests.agent import engine_server
from tests.controller.centre import BY, DOOR, Centre, centre_of
from tests.databases import open_database
from tests.history.conftest import sqlite_template as sqlite_template

pytestmark = pytest.mark.redis
REPOSITORY = Path(__file__).parents[2]
PATIENCE_S = 150.0


@dataclass
class Place:
    """A centre that works, one host of it, and the agent there."""

    folder: Path
    centre: Centre
    join: JoinFile
    engine: MemoryEngine
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def state(self) -> Path:
        """The agent's state directory."""
        return self.folder / "state"

    def start(self, death: str = "", state: str = "state", join: str = "host.join") -> subprocess.Popen[bytes]:
        """Start an agent, which kills itself after the step *death*."""
        (self.folder / "death").write_text(death)
        driver = str(REPOSITORY / "tests" / "agent" / "driver.py")
        arguments = [self.folder / join, self.folder / state, self.folder / "engine.sock", self.folder / "death"]
        with (self.folder / "agent.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, driver, *map(str, arguments)],
                stderr=log,
                cwd=REPOSITORY,
                env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            )
        self.processes.append(process)
        return process

    def wait(self, what: str, until: Callable[[], object]) -> None:
        """Wait until something holds."""
        deadline = time.monotonic() + PATIENCE_S
        while not until():
            told = (self.folder / "agent.log").read_text()[-4000:]
            assert time.monotonic() < deadline, f"it never came to {what}; {told}"
            time.sleep(0.05)

    def keys(self) -> list[str]:
        """Return the keys of the host that hold."""
        query = select(host_keys.c.kid).where(host_keys.c.revoked_at.is_(None))
        with self.centre.db.reading() as connection:
            return list(connection.execute(query).scalars())

    def settled(self) -> bool:
        """Tell whether the new pair alone holds, in SQL and at the broker."""
        with self.centre.db.reading() as connection:
            busy = connection.execute(select(rekeys)).all()
        if busy or not (self.state / OWN).exists():
            return False
        own = Identity(self.state, self.join).current
        return self.keys() == [own.key.kid] and lets_in(own.broker) and not lets_in(self.join.broker)

    def seen(self) -> object:
        """Return when the host was last heard of."""
        return hosts.host(self.centre.db, self.join.host_id).last_seen_at


@pytest.fixture
def place(
    tmp_path: Path, short: Path, broker: EmbeddedBroker, sqlite_template: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    """Begin with a host that was added, and no agent."""
    # Each heartbeat is written down, so that another one need not be waited for ten seconds.
    monkeypatch.setattr(inbox_batch, "HEARD_ANEW", timedelta())
    shutil.copy(sqlite_template, tmp_path / "fleet.db")
    db = open_database(f"sqlite:///{tmp_path / 'fleet.db'}")
    engine = MemoryEngine(SystemClock())
    server = engine_server.serve(engine, str(short / "engine.sock"))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with centre_of(db, broker.address, tmp_path) as centre:
        place = Place(short, centre, enrolled(centre), engine)
        place.join.write(short / "host.join")
        stop = threading.Event()
        thread = threading.Thread(target=working, args=(centre, stop), daemon=True)
        thread.start()
        yield place
        for process in place.processes:
            process.kill()
            process.wait()
        stop.set()
        thread.join()
    server.listener.close()
    db.close()


def working(centre: Centre, stop: threading.Event) -> None:
    """Let the centre work until it is stopped."""
    while not stop.wait(0.05):
        centre.turn()


def enrolled(centre: Centre) -> JoinFile:
    """Add a host as fleet host add does, and return its join file."""
    password = secrets.token_urlsafe(24)
    probe = JoinFile.make(
        host_id="0" * 32,
        host_name="web-1",
        broker=centre.broker,
        password=password,
        centre_keys=(centre.key.public,),
    )
    row = inventory.add_host(
        centre.db,
        centre.broker,
        name="web-1",
        labels={},
        public_key=str(probe.key.public),
        password_sha256=password_hash(password),
        by=BY,
        door=DOOR,
    )
    made = JoinFile.make(
        host_id=row.id.hex,
        host_name="web-1",
        broker=centre.broker,
        password=password,
        centre_keys=(centre.key.public,),
    )
    return made.with_own(probe.key, password)


def test_a_host_replaces_key_and_password_and_the_join_file_is_void(place: Place) -> None:
    place.start()
    place.wait("its own key", place.settled)
    assert place.keys() != [place.join.key.kid]
    heard = place.seen()
    # What it says with the new key, over connections that it had to make anew, is heard.
    place.wait("another heartbeat", lambda: place.seen() != heard)


def test_it_starts_again_without_its_join_file(place: Place) -> None:
    first = place.start()
    place.wait("its own key", place.settled)
    first.kill()
    first.wait()
    own = Identity(place.state, None)
    assert own.own
    heard = place.seen()
    place.start()
    place.wait("a heartbeat of the second agent", lambda: place.seen() != heard)
    assert place.keys() == [own.current.key.kid]


def test_a_second_machine_with_the_same_join_file_is_turned_away_and_says_why(place: Place) -> None:
    place.start()
    place.wait("its own key", place.settled)
    (own,) = place.keys()
    second = place.start(state="elsewhere")
    place.wait("its words", lambda: "fleet host rejoin web-1" in (place.folder / "agent.log").read_text())
    assert second.poll() is None
    assert place.keys() == [own]
    assert not (place.folder / "elsewhere" / OWN).exists()


def test_of_two_machines_that_begin_at_once_one_is_the_host(place: Place) -> None:
    for state in ("state", "elsewhere"):
        place.start(state=state)
    places = [place.folder / state for state in ("state", "elsewhere")]
    place.wait("a key of one of them", lambda: [each for each in places if (each / OWN).exists()])
    place.wait("the other's words", lambda: "fleet host rejoin web-1" in (place.folder / "agent.log").read_text())
    (own,) = place.keys()
    holds = [each for each in places if (each / OWN).exists() and Identity(each, place.join).current.key.kid == own]
    assert len(holds) == 1


STEPS = ("follow", "asked", "lets_in", "take", "heard")
"""Written down, asked for, let in by the broker, taken on the disk, and heard."""
OTHER_STEPS = tuple(pytest.param(step, marks=pytest.mark.full) for step in ("_request", "_use"))
"""About to be asked for, and used: on the disk they are as the step before."""


@pytest.mark.parametrize("step", [*STEPS, *OTHER_STEPS])
def test_killed_after_any_step_it_goes_on_and_one_pair_holds(place: Place, step: str) -> None:
    killed = place.start(f"identity:{step}")
    assert killed.wait(PATIENCE_S) == -signal.SIGKILL
    place.start()
    place.wait("its own key", place.settled)
    heard = place.seen()
    place.wait("another heartbeat", lambda: place.seen() != heard)


def test_state_that_is_lost_before_the_new_key_was_used_costs_nothing(place: Place) -> None:
    """The key that was told is forgotten by host and centre alike, and the join file holds until another one is used."""
    assert place.start("identity:lets_in").wait(PATIENCE_S) == -signal.SIGKILL
    shutil.rmtree(place.state)
    place.start()
    place.wait("its own key", place.settled)


def test_a_broker_that_forgets_its_users_in_between_does_no_harm(place: Place, broker: EmbeddedBroker) -> None:
    assert place.start("identity:asked").wait(PATIENCE_S) == -signal.SIGKILL
    place.wait("the new key among those that hold", lambda: len(place.keys()) == 2)
    with broker.address.client() as client:
        client.execute_command("ACL DELUSER", place.join.broker.username)
    place.centre.reconciler.reconcile()
    place.start()
    place.wait("its own key", place.settled)


def outdated(place: Place) -> str:
    """Run a container of an old image, let its tag have a newer digest, and return that."""
    place.engine.add_image("web:1")
    place.engine.run("web", "web:1")
    digest = str(Digest.of(b"newer"))
    place.engine.publish("web:1", digest, Labels={"version": "2"})
    list(place.engine.pull(f"web@{digest}"))
    return digest


@pytest.mark.parametrize("death", ["", "command:ready", pytest.param("command:ordered", marks=pytest.mark.full)])
def test_what_is_ordered_after_it_is_done_once_also_by_the_agent_that_follows(place: Place, death: str) -> None:
    """Order and go are for the agent that claimed; where that is killed, they are for the next one."""
    db, new = place.centre.db, outdated(place)
    policies.set_policy(db, PolicyKind.FLEET, "", {"verify": {"settle_ms": 300}}, by=BY, door=DOOR)
    first = place.start()
    place.wait("its own key", place.settled)
    tags.record_resolved(db, "docker.io/library/web:1", new, "https://registry-1.docker.io")
    place.wait("its containers", lambda: stale_page(db, None, 1))
    (place.folder / "death").write_text(death)
    plans.apply(db, plans.make_plan(db, Selector(), by=BY).id, by=BY, door=DOOR)
    if death:
        assert first.wait(PATIENCE_S) == -signal.SIGKILL
        place.start()
    place.wait("its outcome", lambda: queries.outcomes(db, OutcomeFilter()).items)
    (outcome,) = queries.outcomes(db, OutcomeFilter()).items
    assert (outcome.result, outcome.new_digest) == (Result.UPDATED, new)
    with db.reading() as connection:
        (life,) = connection.execute(select(commands.c.life)).scalars()
    lives = hosts.host(db, "web-1").lives or ()
    assert life is not None and life.hex == lives[-1]
    assert len(lives) == (2 if death else 1)
    assert f"web@{new}" in place.engine.world.images.images[place.engine.running()["web"]["Image"]].digests
