"""Parked hosts cost a tick nothing, and none of them is forgotten: heard of, away for too long, or in quarantine."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event, select, update

from fleet.history.rollouts import facts as rollout_facts
from fleet.history.rollouts import plans
from fleet.history.sql.database import Database
from fleet.history.tables.inventory import hosts
from fleet.history.tables.rollouts import rollout_hosts
from fleet.rollouts.spec import OfflineSpec, RolloutSpec, TrySpec
from fleet.rollouts.states import HostState
from fleet.updates.outcome import Result
from tests.history.conftest import HeldClock
from tests.history.test_plans_of_queries import buffers, explained, statements
from tests.history.test_plans_of_rollouts import LARGE, SMALL, WHOLE_WAYS, fill, idle
from tests.history.test_waves import detail, fleet
from tests.history.world import BY, Agent, World, container

PARK = OfflineSpec(park=True)
_STEP = 20
"""So many steps of SQLite's own machine are counted at once."""


def park(db: Database, rollout: UUID, now: datetime) -> None:
    """Let all hosts be silent, and parked."""
    with db.writing() as connection:
        connection.execute(update(hosts).values(last_seen_at=now - timedelta(hours=1)))
        mine = rollout_hosts.c.rollout_id == rollout
        connection.execute(update(rollout_hosts).where(mine).values(state=HostState.PARKED, parked_at=now))
        connection.exec_driver_sql("ANALYZE")


@contextmanager
def steps(db: Database) -> Iterator[list[int]]:
    """Yield what counts how far SQLite went meanwhile: all that it reads takes steps."""
    count = [0]

    def counted() -> int:
        count[0] += 1
        return 0

    def prepare(connection: Any, *_: object) -> None:
        connection.set_progress_handler(counted, _STEP)

    event.listen(db.engine, "checkout", prepare)
    yield count
    event.remove(db.engine, "checkout", prepare)


def test_an_idle_tick_reads_no_more_where_more_hosts_are_parked(fresh: Database, clock: HeldClock) -> None:
    """Counted in pages on PostgreSQL and in steps of its machine on SQLite, so that noise cannot touch it."""
    read = {}
    for count in (SMALL, LARGE):
        park(fresh, fill(fresh, count, 1, clock.now()), clock.now())
        idle(fresh)
        if fresh.dialect == "postgresql":
            with statements(fresh) as sent:
                idle(fresh)
            read[count] = sum(buffers(explained(fresh, *each, without=WHOLE_WAYS)) for each in sent)
        else:
            with steps(fresh) as taken:
                idle(fresh)
            read[count] = taken[0]
        with fresh.writing() as connection:
            for table in ("rollout_hosts", "waves", "rollouts", "hosts", "wave_moves"):
                connection.exec_driver_sql(f"DELETE FROM {table}")
    assert read[LARGE] <= 1.5 * read[SMALL], read


def test_one_that_was_parked_twice_is_looked_at_only_where_something_was_told_since(
    world: World, clock: HeldClock
) -> None:
    (agent,) = fleet(world, 1)
    clock.move(minutes=20)
    id = world.rollout(spec=RolloutSpec(offline=PARK))
    for away in (20, 16):
        world.tick()
        assert _state(world, id) is HostState.PARKED
        assert _mark(world) is None
        world.take(agent, world.heartbeat())
        assert _mark(world) == clock.now()
        world.advance_all()
        assert _state(world, id) is HostState.DISPATCHED
        clock.move(minutes=away)
    world.take(agent, world.heartbeat())
    world.run()
    assert _state(world, id) is HostState.SUCCEEDED


def test_one_that_fails_elsewhere_while_it_is_parked_is_skipped(world: World, clock: HeldClock) -> None:
    """Two rollouts of two images: the older has it under way, and it is silent when the turn of the newer comes."""
    agent = world.add_host("web-1", container("web"), container("db", "postgres:17"))
    tries = TrySpec(max=1)
    world.rollout(spec=RolloutSpec(tries=tries))
    world.deliver(world.tick())
    world.deliver(world.tick())
    clock.move(minutes=16)
    plan = world.plan(reference="postgres:17")
    newer = plans.apply_plan(world.db, plan, spec=RolloutSpec(offline=PARK, quarantine_after=1), **BY)
    world.advance_all()
    assert _state(world, newer) is HostState.PARKED
    clock.move(hours=2)
    world.tick()
    assert _state(world, newer) is HostState.SKIPPED
    assert not agent.recreated


def test_silent_hosts_in_quarantine_are_not_parked_wherever_they_stand(
    world: World, clock: HeldClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollout_facts, "_LEAST_NEXT", 1)
    """Only the first is looked at before all are parked, and it is in none."""
    well, *others = fleet(world, 4)
    _fail(world, others)
    clock.move(minutes=20)
    spec = RolloutSpec(offline=PARK, quarantine_after=1, max_parallel=1)
    id = world.rollout(spec=spec, version="newer")
    with world.db.writing() as connection:
        mine = (rollout_hosts.c.rollout_id == id, rollout_hosts.c.host_id == well.id)
        connection.execute(update(rollout_hosts).where(*mine).values(position=-1))
    world.advance_all()
    ends = {host.host: host.state for host in detail(world, id).hosts}
    assert ends.pop(well.name) is HostState.PARKED
    assert set(ends.values()) == {HostState.SKIPPED}


def _fail(world: World, agents: list[Agent]) -> None:
    for agent in agents:
        agent.result = Result.ROLLED_BACK
    world.rollout(spec=RolloutSpec(tries=TrySpec(max=1)))
    world.run()


def _state(world: World, id: UUID) -> HostState:
    (host,) = detail(world, id).hosts
    return host.state


def _mark(world: World) -> datetime | None:
    with world.db.reading() as connection:
        found: datetime | None = connection.execute(select(rollout_hosts.c.look_at)).scalar_one()
    return found
