"""A crash at any statement, or between a commit and what follows it, loses nothing and does nothing twice."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import event

from fleet.history.inbox import lock as inbox_lock
from fleet.history.inbox import taking as inbox
from fleet.history.inbox.taking import Good
from fleet.history.questions import queries
from fleet.history.rollouts import tick
from fleet.history.tables.facts import commands, updates
from fleet.history.tables.rollouts import rollout_hosts
from fleet.road.messages import Up
from fleet.rollouts.spec import RolloutSpec, TrySpec
from fleet.rollouts.states import LIVE, HostState, RolloutState
from tests.history.conftest import HeldClock
from tests.history.world import Agent, World, container, rows

_DAY_MS = 24 * 3_600_000


class Crash(BaseException):
    """The process ends here."""


@contextmanager
def crash_at(world: World, statement: int) -> Iterator[Callable[[], int]]:
    """Crash before the *statement*-th statement; yields how many have been run."""
    ran = 0

    def look(*_: Any) -> None:
        nonlocal ran
        ran += 1
        if ran == statement:
            raise Crash

    event.listen(world.db.engine, "before_cursor_execute", look)
    try:
        yield lambda: ran
    finally:
        event.remove(world.db.engine, "before_cursor_execute", look)


def _check(world: World) -> None:
    """Recount what must always hold, from raw rows."""
    live = Counter(row["host_id"] for row in rows(world.db, rollout_hosts) if row["state"] in LIVE)
    assert all(count == 1 for count in live.values()), "two live tries on one host"
    open_ = Counter(row["host_id"] for row in rows(world.db, commands) if row["ended_at"] is None)
    assert open_ == live, "a live try without its command, or a command without its try"


def _said(agent: Agent, message: Up, received: datetime) -> Good:
    """Return what a host says, without a statement: its own process does not die with the centre's."""
    return Good(id=uuid4(), host_id=agent.id.hex, message=message, received=received)


def _world_with(world: World, hosts: int) -> None:
    for number in range(hosts):
        world.add_host(f"web-{number}", container("web"))
    world.rollout()


def test_a_crash_at_any_statement_of_a_tick_or_a_batch_loses_nothing(
    world: World, clock: HeldClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each pass over the road is crashed at a later statement, until one comes through whole; then from the first."""
    monkeypatch.setattr(inbox_lock, "_LOOK_AGAIN_S", 0.02)
    stack = ExitStack()
    for number in range(2):
        world.add_host(f"web-{number}", container("web"))
    long = TrySpec(dispatch_ttl_ms=_DAY_MS, pull_timeout_ms=_DAY_MS, apply_timeout_ms=_DAY_MS)
    world.rollout(spec=RolloutSpec(tries=long))
    waiting: list[Good] = []
    # Every statement on SQLite; on PostgreSQL a prime step, so that repeated passes meet different statements.
    statement, step, crashes = 1, 1 if world.db.dialect == "sqlite" else 5, 0
    over = clock.now() + timedelta(milliseconds=_DAY_MS)
    while tick.active_rollouts(world.db):
        assert clock.now() < over, "the crashes let nothing through any more: the times of the tries would decide"
        for agent in world.agents.values():
            world.take(agent, world.heartbeat())
        try:
            with crash_at(world, statement) as ran:
                for each in world.tick():
                    agent = world.agents[each.host_id]
                    waiting += [_said(agent, up, clock.now()) for up in agent.hear(each.message)]
                # As the inbox does: taken away from the list only once it stands in SQL.
                world.take_all(waiting)
                waiting.clear()
                statement = 1 if ran() < statement else statement + step
        except Crash:
            crashes += 1
            statement += step
            if not world.lock.held():
                # The connection died with its process, and the lock with the connection.
                world.lock = stack.enter_context(inbox.lock(world.db, state_dir=tmp_path, wait_s=20))
        _check(world)
        # Longer than a lease: what was in somebody's hands at the crash is due again.
        clock.move(seconds=31)
    found = queries.rollout(world.db, 1).rollout
    assert crashes >= 20
    assert (found.state, found.counts) == (RolloutState.COMPLETED, {HostState.SUCCEEDED: 2})
    assert len(rows(world.db, updates)) == 2
    assert [len(agent.recreated) for agent in world.agents.values()] == [1, 1]
    world.run()
    assert all(not agent.outcomes for agent in world.agents.values())
    stack.close()


@pytest.mark.parametrize("lose", [2, 3])
def test_messages_that_the_broker_loses_are_made_good(world: World, clock: HeldClock, lose: int) -> None:
    """Every so many-th message down and every so many-th batch up is lost; heartbeats and repetitions repair it."""
    _world_with(world, 3)
    count = 0
    for _ in range(200):
        sent = world.tick()
        for each in sent:
            count += 1
            if count % lose:
                agent = world.agents[each.host_id]
                said = agent.hear(each.message)
                world.take(agent, *[up for place, up in enumerate(said) if (count + place) % (lose + 1)])
        clock.move(seconds=40)
        for agent in world.agents.values():
            waiting = [id for id, order in agent.orders.items() if order.command not in agent.cancelled]
            world.take(agent, world.heartbeat(ready=waiting), *agent.outcomes.values())
        _check(world)
        if not tick.active_rollouts(world.db):
            break
    assert queries.rollout(world.db, 1).rollout.counts == {HostState.SUCCEEDED: 3}
    assert [len(agent.recreated) for agent in world.agents.values()] == [1, 1, 1]
    assert len(rows(world.db, updates)) == 3


def test_a_tick_after_a_tick_does_nothing(world: World) -> None:
    _world_with(world, 2)
    world.tick()
    before = rows(world.db, commands), rows(world.db, rollout_hosts)
    assert world.tick() == []
    assert (rows(world.db, commands), rows(world.db, rollout_hosts)) == before
