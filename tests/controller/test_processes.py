"""The centre as real processes: killed one by one, and the fleet goes on."""

import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fleet.controller import keys, plans, pulse
from fleet.controller.outdated import outdated
from fleet.history.questions import queries
from fleet.history.registries import tags
from fleet.history.sql.database import Database
from fleet.road.embedded import EmbeddedBroker
from fleet.road.envelope import Opened
from fleet.road.messages import Down
from fleet.rollouts.selector import Selector
from fleet.rollouts.states import RolloutState
from tests.controller.centre import BY, DOOR, NEW, ScriptedHost, enrol, nginx
from tests.controller.processes import alive, running, wait_until

pytestmark = pytest.mark.redis


class Beside:
    """A supervisor in a process of its own with planner, inbox and beat, and a host beside it."""

    def __init__(self, db: Database, host: ScriptedHost, state: Path, log: Path) -> None:
        self.db, self.host, self.state, self.log = db, host, state, log

    def child(self, name: str) -> int:
        """Return the process id of a child."""
        found = 0
        for stat in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = stat.read_bytes().split(b"\0")
                told = (stat.parent / "environ").read_bytes()
            except OSError:
                continue
            if words[-2:-1] == [name.encode()] and f"FLEET_STATE_DIR={self.state}".encode() in told:
                found = int(stat.parent.name)
        return found

    def hear(self, kind: str, seconds: float = 20) -> Opened[Down]:
        """Return the next message of that kind."""
        found: list[Opened[Down]] = []

        def came() -> bool:
            found.extend(opened for opened in self.host.hear() if opened.message.kind == kind)
            return bool(found)

        wait_until(came, seconds)
        return found[0]


@pytest.fixture
def beside(db: Database, broker: EmbeddedBroker, tmp_path: Path) -> Iterator[Beside]:
    """Start it all."""
    told = {
        "FLEET_STATE_DIR": str(tmp_path),
        "FLEET_BROKER_URL": broker.address.url,
        "FLEET_LOG_FORMAT": "json",
        "FLEET_PLANNER_TICK_S": "0.3",
    }
    host = enrol(db, broker.address, keys.signing_key(tmp_path), "web-1")
    log = tmp_path / "supervisor.log"
    with running(["controller", "--only", "planner,inbox,beat"], {**os.environ, **told}, log, "fleet.cli.main"):
        wait_until(lambda: pulse.last(tmp_path) is not None)
        yield Beside(db, host, tmp_path, log)
    host.close()


def test_the_road_goes_on_while_each_process_is_killed(beside: Beside) -> None:
    """The planner dies before the offer, the inbox before the claim, the beat before the go; nothing is done twice.

    And SIGTERM to the supervisor ends them all.
    """
    host, db = beside.host, beside.db
    host.snapshot(nginx())
    wait_until(lambda: bool(outdated(db, Selector()).standings))
    tags.record_resolved(db, "docker.io/library/nginx:1", NEW, "e")
    kill(beside, "planner")
    rollout = plans.apply(db, plans.make_plan(db, Selector(), by=BY).id, by=BY, door=DOOR)
    offer = beside.hear("offer").message
    assert offer.kind == "offer"
    kill(beside, "inbox")
    host.claim(offer.command)
    order = beside.hear("order").message
    assert order.kind == "order"
    kill(beside, "beat")
    host.ready(order)
    beside.hear("go")
    kill(beside, "inbox")
    kill(beside, "planner")
    for outcome in host.outcomes(order):
        host.say(outcome)
        host.say(outcome)
    wait_until(lambda: queries.rollout(db, rollout).rollout.state is RolloutState.COMPLETED)
    with closing(sqlite3.connect(beside.state / "fleet.db")) as connection:
        assert connection.execute("SELECT count(*) FROM updates").fetchone() == (1,)
    children = [beside.child(name) for name in ("planner", "inbox", "beat")]
    os.kill(parent_of(children[0]), signal.SIGTERM)
    wait_until(lambda: not any(alive(pid) for pid in children))


def kill(beside: Beside, name: str) -> None:
    """Kill a child, and wait until another is in its place."""
    wait_until(lambda: beside.child(name) != 0)
    before = beside.child(name)
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: beside.child(name) not in (0, before))


def parent_of(pid: int) -> int:
    """Return the process id of the parent."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
