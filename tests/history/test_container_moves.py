"""Containers are counted as they change: the sums are always what a count of the rows would be."""

from collections import Counter
from dataclasses import replace
from random import Random

import pytest
from sqlalchemy import func, select, text, update

from fleet.history.inbox.batch import Unusable
from fleet.history.inbox.snapshots import _check_there
from fleet.history.inventory import container_moves, hosts
from fleet.history.inventory.container_moves import ContainerKind, gather, kinds
from fleet.history.inventory.containers import containers
from fleet.history.sql.database import Database
from fleet.history.tables.inventory import container_moves as table
from fleet.history.tables.inventory import containers as container_table
from fleet.road.messages import Snapshot
from tests.history.world import BY, World, container, snapshot


def _told(db: Database) -> Counter[ContainerKind]:
    with db.reading() as connection:
        return kinds(connection)


def _there(db: Database) -> Counter[ContainerKind]:
    return Counter(
        ContainerKind(image=row.image, digests=row.digests, local_build=row.local_build, state=row.state)
        for row in containers(db)
    )


def _rows(db: Database) -> int:
    with db.reading() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


def test_sums_are_what_is_there_whatever_hosts_tell(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole snapshots, parts of which some never come, containers that change, hosts that go; and what is gathered meanwhile."""
    monkeypatch.setattr(container_moves, "MANY", 40)
    random = Random(3)
    agents = [world.add_host(f"web-{number}") for number in range(4)]
    there = dict(enumerate(agents))
    for step in range(60):
        number = random.choice(list(there))
        told = tuple(
            replace(
                container(f"c-{name}", version=random.choice(["old", "new"])),
                state=random.choice(["running", "exited"]),
                local_build=random.random() < 0.2,
            )
            for name in range(random.randrange(6))
        )
        if random.random() < 0.3:
            part = random.randrange(2)
            world.take(there[number], Snapshot(hash=f"h{step // 2}", part=part, parts=2, containers=told))
        else:
            world.take(there[number], snapshot(*told))
        if step % 25 == 24:
            hosts.remove_host(world.db, f"web-{number}", **BY)
            del there[number]
        assert _told(world.db) == _there(world.db), f"step {step}"
    assert len(_told(world.db)) > 2


def test_what_changes_nothing_that_counts_adds_no_row(world: World) -> None:
    agent = world.add_host("web-1", container("a"), container("b"))
    before = _rows(world.db)
    world.take(agent, snapshot(container("a"), container("b")).model_copy(update={"hash": "another"}))
    with world.db.writing() as connection:
        connection.execute(update(container_table).values(health="healthy"))
    assert _rows(world.db) == before


def test_what_has_come_together_becomes_one_row_a_kind(world: World) -> None:
    agent = world.add_host("web-1")
    for name in "abcdef":
        world.take(agent, snapshot(container(name), container("z", version="new")))
    before = _told(world.db)
    with world.db.writing() as connection:
        gather(connection)
    assert _told(world.db) == before == _there(world.db)
    assert _rows(world.db) == len(before)


def test_a_host_that_is_being_removed_tells_of_nothing_more(world: World) -> None:
    """Its containers would be counted, and nobody would forget them."""
    agent = world.add_host("web-1", container("a"))
    hosts.remove_host(world.db, "web-1", **BY)
    with world.db.writing() as connection, pytest.raises(Unusable):
        _check_there(connection, agent.id)
    assert _told(world.db) == {}


@pytest.mark.postgresql
def test_who_removes_a_host_waits_for_its_snapshot(pg: Database) -> None:
    from sqlalchemy.exc import OperationalError

    hosts.add_host(pg, name="web-1", labels={}, public_key="k", kid="k", password_sha256="0" * 64, **BY)
    id = hosts.host(pg, "web-1").id
    with pg.writing() as connection:
        _check_there(connection, id)
        with pytest.raises(OperationalError), pg.engine.begin() as other:
            other.execute(text("SET LOCAL lock_timeout = '50ms'"))
            other.execute(text("UPDATE hosts SET removed_at = now()"))
