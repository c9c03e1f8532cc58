"""Redis, PostgreSQL and the centre's processes die in the middle of updates: nothing is lost, nothing is done twice.

Counted by the engines' own events, the rows in SQL, and what runs in the end.
"""

import base64
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.lab.images import Recipe
from tests.lab.machines import eventually
from tests.scenarios.small_fleet import HARBOUR, PATIENCE_S, App, SmallFleet

SIZE_MIB = 2
SLOW_RATE = 250_000
"""Bytes a second: a pull of some eight seconds, during which something dies."""
SLOW_TO_END = ("/bin/sh", "-c", "trap 'sleep 5; exit 0' TERM INT; while :; do sleep 1 & wait $!; done")
AWAY_S = [0, pytest.param(60, marks=pytest.mark.full)]
"""For how much longer than it takes both hosts to have their bytes."""
CHILDREN = ("web", "planner", "inbox", "notifier", "beat")


@contextmanager
def updates_under_way(fleet: SmallFleet) -> Iterator[list[App]]:
    """Let both hosts pull slowly, and assert in the end that each container was updated exactly once."""
    apps = [fleet.take(host) for host in (fleet.oak, fleet.elm)]
    fleet.harbour.misbehave(
        *({"fault": "slow", "kind": "blobs", "repository": app.repository, "rate": SLOW_RATE} for app in apps)
    )
    for app in apps:
        app.push(Recipe(version="2", layers_mib=(SIZE_MIB,), shares=app.name))
    rollouts = [app.order() for app in apps]
    for rollout in rollouts:
        fleet.await_state(rollout, "pulling")
    try:
        yield apps
    finally:
        fleet.harbour.misbehave()
    for app, rollout in zip(apps, rollouts, strict=True):
        assert fleet.ended(rollout, supervised=True) == "completed", app.results()
        app.assert_updated_once("2")


def waiting(fleet: SmallFleet) -> str:
    """Return what the messages say that wait in the inbox's list."""
    lists = fleet.redis.ask("KEYS", "fleet.inbox*").split()
    sealed = [one for key in lists for one in fleet.redis.ask("LRANGE", key, "0", "-1").split()]
    return "".join(base64.urlsafe_b64decode(one.split(".")[1] + "==").decode() for one in sealed if "." in one)


def test_redis_killed_and_started_again_without_its_users(fleet: SmallFleet) -> None:
    """Users that were set by command are gone with it; the planner sets them again, and the hosts come back."""
    with updates_under_way(fleet):
        fleet.redis.kill()
        fleet.redis.start()
        fleet.redis.ready()
    assert "host-" in fleet.redis.ask("ACL", "LIST")


@pytest.mark.full
def test_redis_killed_with_all_that_it_held(fleet: SmallFleet) -> None:
    with updates_under_way(fleet):
        fleet.redis.kill()
        for file in fleet.redis.machine.folder.glob("appendonlydir/*"):
            file.unlink()
        fleet.redis.start()
        fleet.redis.ready()
        assert fleet.redis.ask("DBSIZE") in ("0", "1", "2", "3")


def test_redis_flushed_with_an_outcome_in_it(fleet: SmallFleet) -> None:
    """The host says it again until it has the centre's receipt."""
    (app,) = fleet.begin(
        fleet.oak, ["flushed"], registry=fleet.harbour, domain=HARBOUR, recipe=Recipe(command=SLOW_TO_END)
    )
    app.push(Recipe(version="2", shares=app.name))
    rollout = app.order()
    fleet.await_state(rollout, "applying")
    inbox = fleet.child("inbox")
    os.kill(inbox, signal.SIGSTOP)
    try:
        outbox = fleet.oak.machine.folder / "agent/outbox"
        eventually("an outcome in the outbox", lambda: list(outbox.glob("*.json")), within_s=PATIENCE_S)
        (update,) = [file.stem for file in outbox.glob("*.json")]
        eventually("the outcome in the inbox", lambda: update in waiting(fleet), within_s=PATIENCE_S)
        fleet.redis.ask("FLUSHALL")
        assert app.results() == []
    finally:
        os.kill(inbox, signal.SIGCONT)
    assert fleet.ended(rollout) == "completed"
    app.assert_updated_once("2")
    eventually("the receipt", lambda: not list(outbox.glob("*.json")), within_s=PATIENCE_S)


@pytest.mark.full
def test_redis_flushed_with_an_order_in_it(fleet: SmallFleet) -> None:
    """The centre says it again when its lease is over."""
    app = fleet.take(fleet.oak)
    app.push(Recipe(version="2", shares=app.name))
    agent = fleet.centre.agents["oak"]
    id = fleet.database.ask("select replace(id::text, '-', '') from hosts where name = 'oak'")

    def listens() -> bool:
        clients = [row.split() for row in fleet.redis.ask("CLIENT", "LIST").splitlines()]
        return any(f"user=host-{id}" in client and "flags=b" in client for client in clients)

    eventually("a host that listens", listens, within_s=PATIENCE_S)
    agent.send(signal.SIGSTOP)
    try:
        # What it asked for before it froze is still given to it, out of the broker's hands.
        eventually("a host that does not listen", lambda: not listens(), within_s=PATIENCE_S)
        rollout = app.order()
        eventually("its offer", lambda: fleet.redis.ask("LLEN", f"host.{id}") == "1", within_s=PATIENCE_S)
        fleet.redis.ask("FLUSHALL")
    finally:
        agent.send(signal.SIGCONT)
    assert fleet.ended(rollout) == "completed"
    app.assert_updated_once("2")


@pytest.mark.parametrize("away_s", AWAY_S)
def test_postgresql_stopped(away_s: int, fleet: SmallFleet) -> None:
    """Hosts go on with what they were told, and what they say meanwhile waits in the broker."""
    with updates_under_way(fleet):
        server = fleet.database.running
        assert server is not None
        server.send(signal.SIGINT)
        server.wait(PATIENCE_S)
        eventually("both readies", lambda: waiting(fleet).count('"kind":"ready"') >= 2, within_s=PATIENCE_S)
        time.sleep(away_s)
        fleet.database.start()
        fleet.database.ready()


def test_the_centre_killed_and_started_again(fleet: SmallFleet) -> None:
    with updates_under_way(fleet):
        fleet.centre.kill()
        eventually("an inbox that waits", lambda: fleet.redis.ask("KEYS", "fleet.inbox*"), within_s=PATIENCE_S)
        fleet.centre.start()


@pytest.mark.parametrize(
    "names", [CHILDREN, *(pytest.param((name,), marks=pytest.mark.full) for name in CHILDREN)], ids="+".join
)
def test_processes_of_the_centre_killed(names: tuple[str, ...], fleet: SmallFleet) -> None:
    with updates_under_way(fleet):
        before = {name: fleet.child(name) for name in names}
        assert all(before.values())
        for pid in before.values():
            os.kill(pid, signal.SIGKILL)
        eventually(
            "another process for each",
            lambda: all(fleet.child(name) not in (0, pid) for name, pid in before.items()),
            within_s=PATIENCE_S,
        )
