"""What the database leaves out of what conditions are judged by is what no condition is about."""

from datetime import datetime, timedelta
from random import Random
from typing import Any

import pytest
from sqlalchemy import insert, update

from fleet.controller import conditions
from fleet.controller.condition import Facts
from fleet.controller.condition_looks import SKEW
from fleet.controller.conditions import judge
from fleet.history.inventory import hosts
from fleet.history.mirrors import probes
from fleet.history.notify.notable import notable_hosts, troubled_tags
from fleet.history.registries import tags
from fleet.history.tables import inventory
from fleet.mirrors.probe import MirrorProbe, ProbeState
from fleet.road.messages import Probed
from fleet.rollouts.silence import SILENT_AFTER
from tests.history.conftest import HeldClock
from tests.history.world import BY, Agent, World, container, snapshot

HOSTS = 60


def _some(random: Random, now: datetime) -> dict[str, Any]:
    """Return the row of a host, with each of what may be told of it rarely."""

    def rarely(value: object, otherwise: object) -> object:
        return value if random.random() < 0.1 else otherwise

    return {
        "last_seen_at": rarely(None, now - timedelta(minutes=random.randrange(0, 25))),
        "created_at": now - timedelta(minutes=random.randrange(0, 120)),
        "problems": rarely(("daemon-down: it does not answer",), ()),
        "skew_ms": random.choice([None, 0, 299_999, 300_001, -300_001, 86_400_000]) if random.random() < 0.2 else 3,
        "rivals_at": rarely(now, None),
        "muted_at": rarely(now - timedelta(hours=random.randrange(30)), None),
        "strangers_at": rarely(now - timedelta(minutes=random.randrange(8)), None),
        "strangers_since": now - timedelta(minutes=9),
        "engine_id": random.choice(["", f"engine-{random.randrange(HOSTS)}"]),
    }


def test_conditions_of_notable_hosts_are_those_of_all_hosts(world: World, clock: HeldClock) -> None:
    random, now = Random(5), clock.now()
    for number in range(HOSTS):
        world.add_host(f"web-{number}", heard=False)
    hosts.remove_host(world.db, "web-3", **BY)
    for number in range(HOSTS):
        with world.db.writing() as connection:
            name = inventory.hosts.c.name == f"web-{number}"
            connection.execute(update(inventory.hosts).where(name).values(_some(random, now)))
    notable = notable_hosts(world.db, now, unheard=SILENT_AFTER, skew=SKEW)
    every = hosts.hosts(world.db)
    assert judge(Facts(now=now, hosts=notable)) == judge(Facts(now=now, hosts=every))
    assert len({condition.code for condition in judge(Facts(now=now, hosts=every))}) == 8
    assert 0 < len(notable) < len(every)


def test_of_a_fleet_in_which_all_is_well_no_host_is_read(world: World, clock: HeldClock) -> None:
    for number in range(3):
        world.add_host(f"web-{number}", container("a"))
    assert notable_hosts(world.db, clock.now(), unheard=SILENT_AFTER, skew=SKEW) == []


def _look(world: World, agent: Agent, *found: tuple[str, ProbeState, datetime | None]) -> None:
    (request,) = probes.ask_probes(world.db, [agent.id], by="person:anna").values()
    mirrors = tuple(
        MirrorProbe(
            mirror=f"https://{mirror}.lan",
            registry="docker.io",
            state=state,
            reason="cannot reach it" if state is not ProbeState.OK else "",
            duration_ms=5,
            tls_not_after=until,
        )
        for mirror, state, until in found
    )
    world.take(agent, Probed(request=request, mirrors=mirrors))


def test_conditions_of_bad_looks_are_those_of_all_looks(world: World, clock: HeldClock) -> None:
    """Whatever was well or bad before, whichever mirrors are left out meanwhile, and whoever is removed."""
    random = Random(6)
    agents = [world.add_host(f"web-{number}", container("a")) for number in range(5)]
    seen: set[str] = set()
    # A certificate is the mirror's own: all hosts that look at it see the same.
    until = {mirror: clock.now() + timedelta(days=10 if mirror == "a" else 90) for mirror in "abcd"}
    for step in range(40):
        states = random.choices([*ProbeState], k=4)
        named = random.sample("abcd", random.randrange(1, 5))
        told = [(mirror, state, until[mirror]) for mirror, state in zip(named, states, strict=False)]
        _look(world, random.choice(agents), *told)
        clock.move(minutes=random.choice([1, 300]))
        every = judge(Facts(now=clock.now(), probes=probes.latest_probes(world.db)))
        found = [*probes.bad_probes(world.db), *probes.seen_certificates(world.db)]
        few = judge(Facts(now=clock.now(), probes=found))
        assert few == every, f"step {step}"
        seen.update(condition.code for condition in every)
    assert {"mirror-down", "mirror-tls", "mirror-stale", "mirror-tls-expires"} <= seen
    hosts.remove_host(world.db, "web-0", **BY)
    assert all(probe.host != "web-0" for probe in probes.bad_probes(world.db))


def test_a_renewed_certificate_is_told_by_who_saw_it_last(world: World, clock: HeldClock) -> None:
    """Others saw the one before, and look again hours later."""
    first, second = (world.add_host(name, container("a")) for name in ("web-1", "web-2"))
    soon, late = (clock.now() + timedelta(days=days) for days in (3, 90))
    _look(world, first, ("m", ProbeState.OK, soon))
    _look(world, second, ("m", ProbeState.OK, soon))
    assert [found.code for found in conditions.active(world.db) if found.code == "mirror-tls-expires"]
    clock.move(minutes=5)
    _look(world, first, ("m", ProbeState.OK, late))
    assert not [found.code for found in conditions.active(world.db) if found.code == "mirror-tls-expires"]


def test_troubled_tags_are_those_followed_tags_whose_check_failed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a host tells of more containers than any runs: of those, so many as a host may have the centre ask for."""
    agent = world.add_host("web-1")
    swollen = world.add_host("web-2")
    monkeypatch.setattr("fleet.history.registries.tags.MOST_FOLLOWED", 3)
    monkeypatch.setattr("fleet.history.notify.notable.MOST_FOLLOWED", 3)
    world.take(agent, snapshot(container("a", "a:1"), container("b", "b:1"), container("g", "good:1")))
    world.take(swollen, snapshot(*(container(name, f"{name}:1") for name in "pqrsz")))
    with world.db.writing() as connection:
        for name in ("a", "gone", "p", "z"):
            row = {"image": f"docker.io/library/{name}:1", "digest": "", "reason": "cannot reach it", "endpoint": ""}
            connection.execute(insert(inventory.tags), row)
        row = {"image": "docker.io/library/b:1", "digest": "d", "reason": "", "endpoint": "", "refused_digest": "e"}
        connection.execute(insert(inventory.tags), row)
        connection.execute(insert(inventory.tags), {**row, "image": "docker.io/library/good:1", "refused_digest": None})
    found = [tag.image.rpartition("/")[2] for tag in troubled_tags(world.db)]
    followed = tags.followed(world.db)
    assert found == ["a:1", "b:1", "p:1"]
    assert {f"docker.io/library/{name}" for name in found} <= set(followed)
