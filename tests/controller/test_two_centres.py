"""Two planners, two inboxes and two beats over one PostgreSQL, killed at random in the middle of a rollout: all is done once."""

import os
import random
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from fleet.controller import keys, plans
from fleet.controller.outdated import outdated
from fleet.history.questions import queries
from fleet.history.registries import tags
from fleet.history.sql.database import Database
from fleet.road.embedded import EmbeddedBroker
from fleet.road.messages import Cancel, Go, Offer, Order, Outcome, Receipt
from fleet.rollouts.selector import Selector
from fleet.rollouts.spec import Gate, RolloutSpec, TrySpec, WaveSpec
from fleet.rollouts.states import FailureClass, RolloutState
from tests.controller.centre import BY, DOOR, NEW, ScriptedHost, enrol, nginx
from tests.controller.processes import running
from tests.history.conftest import Postgres

pytestmark = [pytest.mark.redis, pytest.mark.postgresql, pytest.mark.timeout(300)]

HOSTS = 8
KINDS = ("planner", "inbox", "beat")
KILLS = 6
SEED = 6
EVERY_S = 1.0
"""How long the centres are left alone between two kills, about."""
PATIENCE_S = 180.0
GATE = Gate(success_pct=100, tolerance_pct=0)
SPEC = RolloutSpec(
    waves=(WaveSpec(size=1, gate=GATE, soak_ms=1000), WaveSpec(size=3, gate=GATE, soak_ms=1000), WaveSpec(gate=GATE)),
    tries=TrySpec(max=3, backoff_ms=1000, retry_on=(FailureClass.INFRASTRUCTURE,)),
)


@dataclass
class Centres:
    """Two of each process of the centre, started again whenever one was killed."""

    environment: dict[str, str]
    folder: Path
    stack: ExitStack
    processes: dict[tuple[str, int], subprocess.Popen[bytes]] = field(default_factory=dict)
    killed: Counter[str] = field(default_factory=Counter)

    def supervise(self) -> None:
        """Start what does not run."""
        for key in [(kind, number) for kind in KINDS for number in (1, 2)]:
            if key not in self.processes or self.processes[key].poll() is not None:
                kind, number = key
                log = self.folder / f"{kind}{number}-{uuid4().hex[:4]}.log"
                self.processes[key] = self.stack.enter_context(running([kind], self.environment, log))

    def kill(self, chance: random.Random) -> None:
        """Kill one of them, as a power cut would."""
        key = chance.choice([key for key in self.processes if key[0] != "beat"])
        self.processes[key].kill()
        self.processes[key].wait()
        self.killed[key[0]] += 1


@dataclass
class Obedient:
    """A host that does what it is told, keeps a journal of it, and repeats what was not confirmed."""

    host: ScriptedHost
    orders: dict[UUID, Order] = field(default_factory=dict)
    recreated: list[UUID] = field(default_factory=list)
    """Commands that it carried out."""
    unconfirmed: dict[UUID, Outcome] = field(default_factory=dict)

    def obey(self) -> None:
        """Do what the messages say that wait in the queue."""
        for message in (opened.message for opened in self.host.hear(0.02)):
            match message:
                case Offer(command=id):
                    self.host.claim(id)
                case Order() as order:
                    self.orders[order.command] = order
                    self.host.ready(order)
                case Go(command=id) if id in self.orders:
                    if id not in self.recreated:
                        self.recreated.append(id)
                        outcomes = self.host.outcomes(self.orders[id])
                        self.unconfirmed |= {each.outcome.update_id: each for each in outcomes}
                    self._tell()
                case Cancel(command=id):
                    self.orders.pop(id, None)
                case Receipt(ids=ids):
                    for each in ids:
                        self.unconfirmed.pop(each, None)

    def beat(self) -> None:
        """Say what it holds, and what was not confirmed."""
        held = [id for id in self.orders if id not in self.recreated]
        self.host.heartbeat(claims=held, ready=held)
        self._tell()

    def _tell(self) -> None:
        for outcome in self.unconfirmed.values():
            self.host.say(outcome)


def test_everything_is_done_once_by_two_of_each_that_are_killed_at_random(
    postgres: Postgres, broker: EmbeddedBroker, tmp_path: Path
) -> None:
    db = Database.open(postgres.url("fleet"))
    key = keys.signing_key(tmp_path)
    hosts = [Obedient(enrol(db, broker.address, key, f"web-{number}")) for number in range(HOSTS)]
    environment = {
        **os.environ,
        "FLEET_STATE_DIR": str(tmp_path),
        "FLEET_BROKER_URL": broker.address.url,
        "FLEET_DATABASE_URL": postgres.url("fleet"),
        "FLEET_PLANNER_TICK_S": "0.5",
        "FLEET_INBOX_RETRY_S": "2",
    }
    chance = random.Random(SEED)
    with ExitStack() as stack:
        centres = Centres(environment, tmp_path, stack)
        centres.supervise()
        for each in hosts:
            each.host.snapshot(nginx())
        tags.record_resolved(db, "docker.io/library/nginx:1", NEW, "https://registry-1.docker.io")
        _until(lambda: len(outdated(db, Selector()).standings) == HOSTS, centres, hosts)
        plan = plans.make_plan(db, Selector(), by=BY)
        rollout = plans.apply(db, plan.id, by=BY, door=DOOR, spec=SPEC)

        def over() -> bool:
            return queries.rollout(db, rollout).rollout.ended_at is not None

        _until(over, centres, hosts, kills=KILLS, chance=chance)
    found = queries.rollout(db, rollout)
    assert found.rollout.state is RolloutState.COMPLETED
    assert sum(centres.killed.values()) >= 3 and set(centres.killed) == {"planner", "inbox"}, centres.killed
    assert [len(each.recreated) for each in hosts] == [1] * HOSTS
    outcomes = queries.outcomes(db, queries.OutcomeFilter()).items
    assert Counter(str(each.result) for each in outcomes) == {"updated": HOSTS}
    for each in hosts:
        each.host.close()
    db.close()


def _until(
    holds: Callable[[], bool],
    centres: Centres,
    hosts: list[Obedient],
    *,
    kills: int = 0,
    chance: random.Random | None = None,
) -> None:
    """Let hosts obey, and centres be killed and started again, until something holds."""
    ends = time.monotonic() + PATIENCE_S
    next_kill, next_beat = time.monotonic() + EVERY_S, time.monotonic()
    while not holds():
        now = time.monotonic()
        assert now < ends, "it did not come true in time"
        if chance is not None and now >= next_kill and sum(centres.killed.values()) < kills:
            centres.kill(chance)
            next_kill = now + EVERY_S * chance.uniform(0.5, 1.5)
        centres.supervise()
        for each in hosts:
            each.obey()
        if now >= next_beat:
            next_beat = now + 2
            for each in hosts:
                each.beat()
