"""Simulated agents over a real Redis: each has its own key, login and queue, and goes one rollout's way to its end."""

import os
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

from fleet.controller import plans
from fleet.history.inventory import hosts
from fleet.history.questions.rollout_queries import rollout
from fleet.history.registries import tags
from fleet.history.sql.database import Database
from fleet.history.upkeep.upgrade import upgrade
from fleet.road.embedded import EmbeddedBroker
from fleet.road.messages import Go, Offer, Order
from fleet.road.names import host_queue
from fleet.rollouts.selector import Selector
from fleet.rollouts.spec import Gate, RolloutSpec, WaveSpec
from fleet.rollouts.states import HostState, RolloutState
from tests.controller.centre import BY, DOOR, NEW, Centre, ScriptedHost, centre_of, nginx

IMAGE = "docker.io/library/nginx:1"
TURNS = 400
AT_ONCE = 500
CONNECTIONS = 2
"""That each agent has to the broker, up and down."""
SPARE_FILES = 500


def carried_to_its_end(count: int) -> str:
    """Let *count* agents take part in one rollout of three waves; return the sentence that tells of it."""
    _allow_files(CONNECTIONS * count + SPARE_FILES)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="fb") as folder:
        state = Path(folder)
        url = f"sqlite:///{state / 'fleet.db'}"
        upgrade(url)
        db = Database.open(url)
        with EmbeddedBroker(state / "b") as broker, centre_of(db, broker.address, state) as centre:
            for number in range(count):
                centre.add_host(f"host-{number}").snapshot(nginx())
            centre.turn()
            tags.record_resolved(db, IMAGE, NEW, "https://registry-1.docker.io")
            began = time.perf_counter()
            _roll_out(centre)
            took = time.perf_counter() - began
        db.close()
    return (
        f"{count:,} simulated agents, each with its own key, login and queue at a real Redis, took part in one rollout of three "
        f"waves, over SQLite: completed in {took:.0f} s, {count / took:.0f} hosts/s with their own signatures, on the same "
        f"{os.cpu_count()} cores, load {load:.1f} at the start."
    )


def _allow_files(count: int) -> None:
    """Let this process, and the broker that it starts, have *count* files and connections open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        raise SystemExit(f"cannot open {count} connections: at most {hard} are allowed here; raise ulimit -Hn")
    if soft != resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))


def _roll_out(centre: Centre) -> None:
    spec = RolloutSpec(
        waves=(WaveSpec(size=1, gate=Gate()), WaveSpec(size="10%", gate=Gate()), WaveSpec(gate=Gate())),
        max_parallel=AT_ONCE,
        rate_per_minute=100_000,
    )
    plan = plans.make_plan(centre.db, Selector(), by=BY)
    id = plans.apply(centre.db, plan.id, by=BY, door=DOOR, spec=spec)
    orders: dict[ScriptedHost, Order] = {}
    client = centre.broker.client()
    for _ in range(TURNS):
        centre.turn()
        told = rollout(centre.db, id).rollout
        if told.state.ended:
            there = len(hosts.hosts(centre.db))
            if told.state is not RolloutState.COMPLETED or told.counts != {HostState.SUCCEEDED: there}:
                raise RuntimeError(f"the rollout ended as {told.state}: {told.counts}")
            return
        for host, waiting in _called(centre, client):
            _answer(host, waiting, orders)
    raise RuntimeError("the rollout does not end")


def _called(centre: Centre, client: Any) -> list[tuple[ScriptedHost, int]]:
    """Return the hosts for which something waits, and how much: 2,000 that each wait for a word are not what is measured."""
    with client.pipeline(transaction=False) as asking:
        for host in centre.hosts:
            asking.llen(host_queue(host.id.hex))
        return [(host, waiting) for host, waiting in zip(centre.hosts, asking.execute(), strict=True) if waiting]


def _answer(host: ScriptedHost, waiting: int, orders: dict[ScriptedHost, Order]) -> None:
    for opened in host.hear(most=waiting):
        match opened.message:
            case Offer(command=command):
                host.claim(command)
            case Order() as order:
                orders[host] = order
                host.ready(order)
            case Go():
                for outcome in host.outcomes(orders[host]):
                    host.say(outcome)
