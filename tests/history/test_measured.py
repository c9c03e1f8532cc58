"""What metrics show of the fleet is what its tables say, and what other commands say of the same."""

import itertools
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select

from fleet.controller.outdated import judged, outdated, outdated_page
from fleet.history.inventory import following, hosts
from fleet.history.inventory.containers import containers as all_containers
from fleet.history.measured import condition_counts
from fleet.history.measured import mirrors as measured_mirrors
from fleet.history.measured.fleet import measure
from fleet.history.measured.inventory import measure_hosts, measure_inventory
from fleet.history.measured.mirrors import measure_mirrors
from fleet.history.mirrors import probes
from fleet.history.noted.counting import Counted
from fleet.history.sql.database import Database
from fleet.history.sql.upsert import insert_or_add
from fleet.history.tables.counters import counters
from fleet.history.tables.facts import attempts, mirror_probes
from fleet.history.tables.inventory import container_digests, containers, tags
from fleet.mirrors.probe import MirrorProbe, ProbeState
from fleet.road.messages import Order, Probed
from fleet.rollouts.selector import Selector
from fleet.rollouts.states import CommandState, Hold, HostState, RolloutState
from fleet.updates.outcome import Result
from tests.history.conftest import HeldClock
from tests.history.test_plans_of_queries import _check_sqlite, statements
from tests.history.world import BY, Agent, World, container, digest_of, rows


def test_a_fleet_is_told_by_how_its_hosts_stand(world: World, clock: HeldClock) -> None:
    world.add_host("silent", container("a"))
    clock.move(minutes=20)
    world.add_host("online", container("a"))
    world.add_host("new", heard=False)
    world.add_host("gone", container("a"))
    hosts.remove_host(world.db, "gone", **BY)
    found = measure(world.db)
    assert found.hosts == {"silent": 1, "online": 1, "new": 1}
    assert found.agents == {"0.1.0": 2, "": 1}


def test_a_rollout_is_told_while_it_goes_on(world: World) -> None:
    for name in ("web-1", "web-2"):
        world.add_host(name, container("web"))
    world.rollout()
    sent = world.until(Order)
    found = measure(world.db)
    assert found.rollouts == {RolloutState.RUNNING: 1}
    assert found.commands == {CommandState.PULLING: 2}
    (rollout,) = found.newest
    assert (rollout.number, dict(rollout.hosts)) == (1, {HostState.PULLING: 2})
    assert rollout.last_event == world.db.now()
    world.deliver(sent)
    world.run()
    found = measure(world.db)
    assert (found.rollouts, found.commands, found.newest) == ({}, {}, ())


def test_a_rollout_that_is_held_is_told_by_each_reason(world: World) -> None:
    from fleet.history.tables.rollouts import rollouts

    world.add_host("web-1", container("web"))
    world.rollout()
    with world.db.writing() as connection:
        connection.execute(rollouts.update().values(holds=[Hold.USER, Hold.BUDGET]))
    assert measure(world.db).holds == {Hold.USER: 1, Hold.BUDGET: 1}


def test_what_a_later_release_counts_is_left_alone(db: Database) -> None:
    """It may run beside this one while the fleet's centre is upgraded."""
    told = [
        {"counter": "of_a_later_release", "labels": "[]", "count": 1},
        {"counter": Counted.UPDATES.value, "labels": '["updated"]', "count": 2},
    ]
    with db.writing() as connection:
        connection.execute(insert(counters), told)
    assert measure(db).counts == {Counted.UPDATES: {("updated",): 2}}


def test_what_is_added_to_a_counter_is_added(db: Database) -> None:
    for _ in range(3):
        with db.writing() as connection:
            told = [{"counter": "a", "labels": f"[{n}]", "count": n} for n in range(3)]
            insert_or_add(connection, counters, told, ("counter", "labels"), "count")
            insert_or_add(connection, counters, told[:1], ("counter", "labels"), "count")
    assert {row["labels"]: row["count"] for row in rows(db, counters)} == {"[0]": 0, "[1]": 3, "[2]": 6}


def test_the_latest_look_at_conditions_stands_alone(db: Database, clock: HeldClock) -> None:
    assert measure(db).look is None
    condition_counts.keep_look(db, {"mirror-down": 2, "of-a-release-before": 1})
    clock.move(minutes=5)
    condition_counts.keep_look(db, {"mirror-down": 0})
    look = measure(db).look
    assert look is not None
    assert (look.at, dict(look.subjects)) == (clock.now(), {"mirror-down": 0})


def test_containers_stand_to_their_tags_as_the_list_of_the_outdated_says(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every way in which a tag may be known or not, by every way in which a container's digest may be."""
    monkeypatch.setattr(following, "_FIRST_HOSTS", 1)
    agents = [world.add_host(f"web-{number}") for number in range(1, 6)]
    known = (None, ("", ""), ("", "cannot reach it"), ("new", ""), ("new", "cannot reach it"))
    ways = itertools.product(enumerate(known), ((), ("old",), ("new",), ("old", "new")), (False, True), (True, False))
    with world.db.writing() as connection:
        for number, tag in enumerate(known):
            if tag is not None:
                digest = digest_of(tag[0]) if tag[0] else ""
                row = {"image": _image(number), "digest": digest, "reason": tag[1], "endpoint": ""}
                connection.execute(insert(tags), row)
        for place, ((number, _), digests, local, follows) in enumerate(ways):
            _insert_container(connection, agents[place % 5], place, number, digests, local=local, follows=follows)
    listed = judged(world.db, all_containers(world.db))
    expected: dict[str, int] = {}
    for standing in listed:
        if standing.container.image:
            expected[standing.freshness.value] = expected.get(standing.freshness.value, 0) + 1
    found = measure_inventory(world.db)
    assert found.followed == expected
    assert set(expected) == {"outdated", "current", "unknown"}
    assert sum(found.states.values()) == len(listed) > sum(expected.values())
    assert found.pinned == sum(not standing.container.image for standing in listed)
    stale = [each for each in listed if each.container.image and each.freshness.value != "current"]
    answer = outdated(world.db, Selector())
    assert (list(answer.standings), answer.current, answer.pinned) == (stale, expected["current"], found.pinned)
    some = outdated(world.db, Selector(hosts=("web-*",), images=("app-3", "app-[0-9]")))
    assert {standing.container.image for standing in some.standings} == {_image(number) for number in range(5)}
    assert some.current == expected["current"]
    assert _pages(world.db, 7) == sorted(
        stale, key=lambda each: (each.freshness, each.container.host, each.container.name)
    )


def _pages(db: Database, limit: int) -> list[Any]:
    """Return what the pages of the outdated show, one after the other."""
    found, place = outdated_page(db, None, limit)
    while place is not None:
        more, place = outdated_page(db, place, limit)
        assert 0 < len(more) <= limit
        found += more
    return found


def _image(number: int) -> str:
    return f"docker.io/library/app-{number}:1"


def _insert_container(
    connection: Any, agent: Agent, place: int, number: int, digests: tuple[str, ...], *, local: bool, follows: bool
) -> None:
    template = dict(connection.execute(select(containers)).mappings().first() or {}) or _blank()
    has = [digest_of(digest) for digest in digests]
    id = digest_of(f"container {place}").removeprefix("sha256:")
    row = template | {
        "host_id": agent.id,
        "id": id,
        "name": f"c-{place}",
        "reference": f"app-{number}:1" if follows else f"app-{number}:1@{digest_of('pinned')}",
        "image": _image(number) if follows else "",
        "digests": has,
        "local_build": local,
    }
    connection.execute(insert(containers), row)
    if has:
        connection.execute(
            insert(container_digests), [{"host_id": agent.id, "container_id": id, "digest": each} for each in has]
        )


def _blank() -> dict[str, Any]:
    from datetime import UTC, datetime

    at = datetime(2026, 11, 25, tzinfo=UTC)
    texts = dict.fromkeys(("image_id", "health", "snapshot"), "")
    return {**texts, "platform": "linux/amd64", "state": "running", "labels": {}, "first_seen_at": at, "seen_at": at}


def test_each_host_is_told_with_its_containers_and_updates(world: World) -> None:
    odd = container("odd")
    world.add_host("web-1", container("web"), _in_state(odd, "a word of its own"))
    world.add_host("web-2")
    world.rollout("web-1")
    world.run()
    first, second = measure_hosts(world.db)
    assert (first.name, dict(first.containers), dict(first.updates)) == (
        "web-1",
        {"running": 1, "other": 1},
        {Result.UPDATED: 2},
    )
    assert (second.name, dict(second.containers), dict(second.updates)) == ("web-2", {}, {})
    assert first.last_seen_at == world.db.now()
    hosts.remove_host(world.db, "web-1", **BY)
    assert [host.name for host in measure_hosts(world.db)] == ["web-2"]
    assert measure_inventory(world.db).states == {}


def _in_state(state: Any, word: str) -> Any:
    from dataclasses import replace

    return replace(state, state=word)


class TestMirrors:
    def test_a_mirror_is_up_while_one_host_gets_answers(self, world: World, clock: HeldClock) -> None:
        first, second = (world.add_host(name, container("a")) for name in ("web-1", "web-2"))
        _look(world, first, ProbeState.OK)
        _look(world, second, ProbeState.DOWN)
        (mirror,) = measure_mirrors(world.db)
        assert (mirror.up, dict(mirror.hosts)) == (True, {ProbeState.OK: 1, ProbeState.DOWN: 1})
        ok_at = clock.now()
        clock.move(minutes=1)
        _look(world, first, ProbeState.TLS)
        (mirror,) = measure_mirrors(world.db)
        assert (mirror.up, dict(mirror.hosts)) == (False, {ProbeState.TLS: 1, ProbeState.DOWN: 1})
        assert mirror.last_success == ok_at
        clock.move(days=3)
        assert measure_mirrors(world.db) == [], "too old to tell"

    def test_of_a_hosts_looks_for_several_registries_the_worst_counts(self, world: World) -> None:
        agent = world.add_host("web-1", container("a"))
        found = [
            MirrorProbe(mirror="https://m.lan", registry=registry, state=state, duration_ms=ms)
            for registry, state, ms in (("docker.io", ProbeState.STALE, 10), ("ghcr.io", ProbeState.OK, 30))
        ]
        _said(world, agent, *found)
        (mirror,) = measure_mirrors(world.db)
        assert (dict(mirror.hosts), mirror.probe_ms) == ({ProbeState.STALE: 1}, 20)

    def test_the_first_certificate_to_expire_counts(self, world: World, clock: HeldClock) -> None:
        agents = [world.add_host(name, container("a")) for name in ("web-1", "web-2")]
        ends = [clock.now() + timedelta(days=days) for days in (30, 10)]
        for agent, end in zip(agents, ends, strict=True):
            _said(world, agent, MirrorProbe(mirror="m", registry="*", state=ProbeState.OK, tls_not_after=end))
        (mirror,) = measure_mirrors(world.db)
        assert mirror.tls_not_after == ends[1]

    def test_a_removed_host_tells_of_no_mirror(self, world: World) -> None:
        _look(world, world.add_host("web-1", container("a")), ProbeState.DOWN)
        hosts.remove_host(world.db, "web-1", **BY)
        assert measure_mirrors(world.db) == []

    def test_a_mirror_that_its_hosts_name_no_more_is_none(self, world: World, clock: HeldClock) -> None:
        agents = [world.add_host(name, container("a")) for name in ("web-1", "web-2")]
        for agent in agents:
            _said(world, agent, MirrorProbe(mirror="mistyped", registry="*", state=ProbeState.DOWN))
        clock.move(minutes=1)
        _said(world, agents[0], MirrorProbe(mirror="m", registry="*", state=ProbeState.OK))
        assert [(each.mirror, sum(each.hosts.values())) for each in measure_mirrors(world.db)] == [
            ("m", 1),
            ("mistyped", 1),
        ]
        _said(world, agents[1], MirrorProbe(mirror="m", registry="*", state=ProbeState.OK))
        assert [each.mirror for each in measure_mirrors(world.db)] == ["m"], "no alert of it for two days"

    def test_what_a_mirror_served_is_a_success_too(self, world: World) -> None:
        agent = world.add_host("web-1", container("web"))
        world.rollout()
        world.run()
        good_lan = MirrorProbe(mirror="http://good.lan", registry="*", state=ProbeState.UNAUTHORIZED)
        _said(world, agent, good_lan, MirrorProbe(mirror="http://dead.lan", registry="*", state=ProbeState.DOWN))
        dead, good = measure_mirrors(world.db)
        assert (dead.last_success, good.last_success) == (None, world.db.now())

    def test_however_many_looks_there_are_few_are_read(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """The newest: it costs as much with 10,000 hosts as with two hundred."""
        monkeypatch.setattr(measured_mirrors, "LOOKED_AT", 3)
        agent = world.add_host("web-1", container("a"))
        for number in range(5):
            _said(
                world, agent, MirrorProbe(mirror="m", registry=f"r-{number}", state=ProbeState.OK, duration_ms=number)
            )
        (mirror,) = measure_mirrors(world.db)
        assert mirror.probe_ms == 3, "of 2, 3 and 4"


def _look(world: World, agent: Agent, state: ProbeState) -> None:
    _said(world, agent, MirrorProbe(mirror="https://m.lan", registry="docker.io", state=state, duration_ms=5))


def _said(world: World, agent: Agent, *found: MirrorProbe) -> None:
    asked = probes.ask_probes(world.db, [agent.id], by="person:anna", images={})
    world.take(agent, Probed(request=asked[agent.id], mirrors=found))


def test_nothing_is_read_whole_while_a_rollout_goes_on(world: World) -> None:
    """Beside many looks and attempts: how a database answers is held for metrics as for questions."""
    agent = world.add_host("web-1", container("web"))
    world.rollout()
    world.until(Order)
    for _ in range(30):
        _look(world, agent, ProbeState.OK)
    with statements(world.db) as sent:
        measure(world.db)
        measure_mirrors(world.db)
    assert any(attempts.name in statement for statement, _ in sent)
    assert any(mirror_probes.name in statement for statement, _ in sent)
    if world.db.dialect == "sqlite":
        for statement, parameters in sent:
            _check_sqlite(world.db, "metrics", statement, parameters)
