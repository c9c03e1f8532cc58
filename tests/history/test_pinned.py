"""What a plan pins for many hosts alike stands once, and says of each host the same as before."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from sqlalchemy import func, insert, select, text

from fleet.history.commands import pinned
from fleet.history.questions import queries
from fleet.history.rollouts.wave_counts import counts_of
from fleet.history.sql.database import Database
from fleet.history.tables.rollouts import rollout_hosts, rollout_shapes, waves
from fleet.history.upkeep.upgrade import _config, upgrade
from fleet.ids import new_id
from fleet.rollouts.spec import RolloutSpec, WaveSpec
from fleet.rollouts.states import HostState
from tests.history.conftest import HeldClock
from tests.history.world import World, container, digest_of, open_world

ALIKE = 3


@pytest.fixture
def own(empty_url: str, tmp_path: Path, clock: HeldClock) -> Iterator[World]:
    """A world over a database of its own, whose shape a test may change."""
    upgrade(empty_url)
    with closing(Database.open(empty_url, clock=clock)) as db, ExitStack() as stack:
        yield open_world(db, tmp_path, stack)


def _plan(world: World) -> None:
    """Apply a plan of some hosts with the same two containers, and of one that has another."""
    for number in range(ALIKE):
        world.add_host(f"web-{number}", container("web"), container("side"))
    world.add_host("db", container("db"))
    world.rollout(spec=RolloutSpec(waves=(WaveSpec(size=1), WaveSpec())))


def _told(world: World) -> dict[str, Any]:
    return {host.host: host.targets for host in queries.rollout(world.db, 1).hosts}


def test_what_hosts_have_in_common_stands_once(world: World) -> None:
    _plan(world)
    with world.db.reading() as connection:
        shapes = connection.execute(select(rollout_shapes)).mappings().all()
        rows = connection.execute(select(rollout_hosts.c.shape, rollout_hosts.c.targets)).all()
    assert len(shapes) == 1
    assert sorted(pin["container"] for pin in shapes[0]["pins"]) == ["side", "web"]
    assert not any("container_id" in pin for pin in shapes[0]["pins"])
    assert sorted(str(shape) for shape, _ in rows) == ["0"] * ALIKE + ["None"]
    assert all(len(id) == 64 for shape, ids in rows if shape is not None for id in ids)


def test_each_host_is_told_all_that_is_pinned_for_it(world: World) -> None:
    _plan(world)
    told = _told(world)
    for number in range(ALIKE):
        pinned = {target["container"]: target for target in told[f"web-{number}"]}
        assert {name: target["container_id"] for name, target in pinned.items()} == {
            "web": container("web").id,
            "side": container("side").id,
        }
        assert {target["digest"] for target in pinned.values()} == {digest_of("nginx:1.27 new")}
        assert [target["container"] for target in told["db"]] == ["db"]


def test_an_earlier_shape_has_all_of_it_in_each_row_again(own: World) -> None:
    """Down and up again: what is pinned is what it was, wherever it stands."""
    _plan(own)
    before = _told(own)
    with own.db.writing() as connection:
        command.downgrade(_config(connection), "0022")
    with own.db.reading() as connection:
        written = connection.execute(select(rollout_hosts.c.targets)).scalars().all()
    assert sorted(written, key=_as_json) == sorted(before.values(), key=_as_json)
    upgrade(str(own.db.engine.url.render_as_string(hide_password=False)))
    assert _told(own) == before


def _as_json(targets: object) -> str:
    return json.dumps(targets, sort_keys=True)


def test_hosts_are_found_by_the_host_first(own: World) -> None:
    """On either database, also after their tables were written anew."""
    query = "SELECT tries FROM rollout_hosts WHERE host_id = '{0}' AND rollout_id > '{0}'".format("0" * 32)
    with own.db.reading() as connection:
        if own.db.dialect == "postgresql":
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
            plan = str(connection.exec_driver_sql(f"EXPLAIN {query}").all())
        else:
            plan = str(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}").all())
    assert "host_id" in plan.partition("Filter")[0], plan
    assert "pk_rollout_hosts" in plan or "autoindex" in plan, plan


def test_what_moved_before_the_upgrade_is_counted_too(own: World) -> None:
    """An earlier release moved hosts, and kept no count."""
    _plan(own)
    with own.db.writing() as connection:
        command.downgrade(_config(connection), "0024")
    moved = text("UPDATE rollout_hosts SET state = 'parked' WHERE position > 1")
    with own.db.writing() as connection:
        connection.execute(moved)
    upgrade(str(own.db.engine.url.render_as_string(hide_password=False)))
    with own.db.reading() as connection:
        known = connection.execute(select(waves).order_by(waves.c.number)).mappings().all()
        told = counts_of(connection, known[0]["rollout_id"], known)
        parked = connection.execute(select(func.count()).where(rollout_hosts.c.state == HostState.PARKED)).scalar()
    assert parked == ALIKE - 1
    assert told == {0: {HostState.PENDING: 1}, 1: {HostState.PENDING: 1, HostState.PARKED: ALIKE - 1}}


def test_what_a_wave_brings_is_read_of_its_first_hosts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    id, now = new_id(), world.db.now()
    with world.db.writing() as connection:
        for number, image in enumerate(("nginx:1", "nginx:1", "redis:7")):
            targets = [{"container": "c", "image": image, "digest": digest_of(image)}]
            row = {"rollout_id": id, "host_id": new_id(), "wave": 0, "position": number, "targets": targets}
            row |= {"state": HostState.PENDING, "tries": 0, "reason": "", "changed_at": now}
            connection.execute(insert(rollout_hosts).values(row))
    with world.db.reading() as connection:
        found = pinned.brought(connection, id, 0)
        assert pinned.brought(connection, id, 1) == pinned.Brought(images=())
        monkeypatch.setattr(pinned, "FIRST_HOSTS", 2)
        assert pinned.brought(connection, id, 0) == pinned.Brought(images=(("nginx:1", digest_of("nginx:1")),), hosts=2)
    assert found == pinned.Brought(images=(("nginx:1", digest_of("nginx:1")), ("redis:7", digest_of("redis:7"))))
