"""Snapshots replace what was known of a host, once all their parts have come."""

from dataclasses import replace

import pytest

from fleet.history.inbox.snapshots import followed_image
from fleet.history.inventory.containers import containers
from fleet.history.sql.plain import SHORT
from fleet.history.tables.inventory import container_digests, hosts, snapshot_parts
from fleet.history.tables.road import outbox
from fleet.mirrors.source import Endpoint, MirrorRule, Provenance
from fleet.road.messages import Snapshot
from fleet.rollouts.selector import Selector
from tests.history.conftest import HeldClock
from tests.history.world import World, container, rows, snapshot


def _names(world: World) -> list[str]:
    return [row.name for row in containers(world.db)]


def test_a_snapshot_replaces_the_one_before(world: World, clock: HeldClock) -> None:
    agent = world.add_host("web-1", container("a"), container("b"))
    before = {row.name: row.first_seen_at for row in containers(world.db)}
    clock.move(minutes=1)
    world.take(agent, snapshot(container("b"), container("c")))
    assert _names(world) == ["b", "c"]
    seen = {row.name: (row.first_seen_at, row.seen_at) for row in containers(world.db)}
    assert seen["b"] == (before["b"], clock.now())
    assert len(rows(world.db, container_digests)) == 2


def test_where_a_container_keeps_data_is_known_or_not_told(world: World) -> None:
    """An older agent tells nothing of it, which is not the same as nowhere."""
    kept = {"nowhere": (), "there": ("/data",), "untold": None}
    world.add_host("web-1", *(replace(container(name), keeps=keeps) for name, keeps in kept.items()))
    assert {row.name: row.keeps for row in containers(world.db)} == kept


def test_the_parts_of_a_snapshot_may_come_in_any_order_and_twice(world: World) -> None:
    agent = world.add_host("web-1", container("old"))
    rule = MirrorRule(
        for_registry="*", endpoint=Endpoint(scheme="http", host="m.lan"), provenance=Provenance.DAEMON, where="daemon"
    )
    parts = [
        Snapshot(hash="h", part=number, parts=3, containers=(container(name),), mirrors=(rule,) if number == 0 else ())
        for number, name in enumerate("abc")
    ]
    world.take(agent, parts[2])
    world.take(agent, parts[2], parts[0])
    assert "old" in _names(world)
    world.take(agent, parts[1])
    assert _names(world) == ["a", "b", "c"]
    (host,) = rows(world.db, hosts)
    assert (host["snapshot_hash"], host["mirrors"][0]["endpoint"]["host"]) == ("h", "m.lan")
    assert rows(world.db, snapshot_parts) == []


def test_what_a_host_tells_of_its_mirrors_steers_nothing_that_shows_it(world: World) -> None:
    endpoint = Endpoint(scheme="http", host="m\x1b[2J.lan", repo_prefix="p\0/", ca_file="\u202e/ca")
    rule = MirrorRule(for_registry="*\n", endpoint=endpoint, provenance=Provenance.DAEMON, where="x\0" * 9000)
    agent = world.add_host("web-1")
    assert world.take(agent, Snapshot(hash="h", containers=(), mirrors=(rule,))).refused == 0
    (host,) = rows(world.db, hosts)
    (kept,) = host["mirrors"]
    texts = [each for each in (*kept.values(), *kept["endpoint"].values()) if isinstance(each, str)]
    assert all(text.replace("\N{REPLACEMENT CHARACTER}", "").isprintable() for text in texts)
    assert len(kept["where"]) == SHORT


def test_a_newer_snapshot_ends_the_wait_for_the_parts_of_an_older(world: World) -> None:
    agent = world.add_host("web-1")
    world.take(agent, Snapshot(hash="h1", part=0, parts=2, containers=(container("a"),)))
    world.take(agent, Snapshot(hash="h2", part=0, parts=1, containers=(container("b"),)))
    assert _names(world) == ["b"]


@pytest.mark.parametrize(("part", "parts"), [(1, 1), (-1, 1), (0, 0), (0, 100_000)])
def test_a_part_that_cannot_be_one_is_refused(world: World, part: int, parts: int) -> None:
    agent = world.add_host("web-1", container("a"))
    assert world.take(agent, Snapshot(hash="h", part=part, parts=parts, containers=())).refused == 1
    assert _names(world) == ["a"]


def test_a_snapshot_is_asked_for_where_its_hash_differs_and_once_at_a_time(world: World) -> None:
    agent = world.add_host("web-1", container("a"))
    world.take(agent, world.heartbeat(snapshot(container("a")).hash))
    assert rows(world.db, outbox) == []
    world.take(agent, world.heartbeat("other"), world.heartbeat("other"))
    world.take(agent, world.heartbeat("other"))
    assert [row["body"]["kind"] for row in rows(world.db, outbox)] == ["send-snapshot"]
    world.deliver(world.tick())
    assert agent.wants_snapshot
    assert rows(world.db, outbox) == []


def test_containers_are_taken_by_host_label_name_and_image(world: World) -> None:
    world.add_host("web-1", container("app"), container("db", "postgres:17"))
    world.add_host("edge-1", container("app", "ghcr.io/org/app:2"))

    def taken(**parts: object) -> list[str]:
        found = containers(world.db, Selector.parse(parts))
        return [f"{row.host}/{row.name}" for row in found]

    assert taken() == ["edge-1/app", "web-1/app", "web-1/db"]
    assert taken(hosts=["web-*"]) == ["web-1/app", "web-1/db"]
    assert taken(hosts=["web-1"], containers=["db"]) == ["web-1/db"]
    assert taken(images=["nginx"]) == ["web-1/app"]
    assert taken(images=["ghcr.io/org/*"]) == ["edge-1/app"]
    assert taken(labels={"site": "berlin"}) == []


@pytest.mark.parametrize(
    ("written", "image"),
    [
        ("nginx", "docker.io/library/nginx:latest"),
        ("ghcr.io/org/app:2", "ghcr.io/org/app:2"),
        (f"nginx:1@sha256:{'a' * 64}", ""),
        (f"sha256:{'a' * 64}", ""),
        ("a" * 64, ""),
        ("<none>", ""),
    ],
)
def test_a_container_follows_the_tag_of_its_reference(written: str, image: str) -> None:
    assert followed_image(written) == image


def test_a_container_that_was_started_by_an_images_id_follows_nothing() -> None:
    id = f"sha256:abcdef{'0' * 58}"
    assert followed_image("abcdef000000", id) == ""
    assert followed_image("abcdef", "sha256:123456") == "docker.io/library/abcdef:latest"
