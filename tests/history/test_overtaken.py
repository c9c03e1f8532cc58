"""An older rollout never brings a host back from what a newer one brought, however it was kept waiting."""

from uuid import UUID

import pytest

from fleet.history.questions import queries
from fleet.history.rollouts import people as rollouts
from fleet.history.tables.facts import updates
from fleet.road.messages import Go
from fleet.rollouts.spec import RolloutSpec, TrySpec
from fleet.rollouts.states import HostState, RolloutState
from fleet.updates.outcome import Result
from tests.history.conftest import HeldClock
from tests.history.world import BY, Agent, World, container, rows


@pytest.fixture
def agent(world: World) -> Agent:
    """Return a host of two containers."""
    return world.add_host("web-1", container("app"), container("cache"))


def held(world: World) -> UUID:
    """Return a rollout without gates that was stopped before it began."""
    id = world.rollout(version="older")
    rollouts.hold_rollout(world.db, id, **BY)
    return id


def end(world: World, id: UUID) -> tuple[HostState, str]:
    """Let a rollout that was stopped go on, and return how its host ended."""
    rollouts.release_rollout(world.db, id, **BY)
    world.run()
    found = queries.rollout(world.db, id)
    assert found.rollout.state is RolloutState.COMPLETED
    return found.hosts[0].state, found.hosts[0].reason


def brought_to(world: World) -> list[str]:
    """Return what was brought to the host, in the order in which it was told."""
    return [str(row["new_digest"]) for row in rows(world.db, updates) if row["result"] == Result.UPDATED]


def test_a_host_where_a_newer_one_has_been_is_left_alone(world: World, agent: Agent) -> None:
    older = held(world)
    world.rollout(version="new")
    world.run()
    before = brought_to(world)
    assert end(world, older) == (
        HostState.SKIPPED,
        "rollout #2, which is newer, has been at app already",
    )
    assert brought_to(world) == before and len(before) == 2


def test_only_what_the_newer_one_updated_is_left_alone(world: World, agent: Agent) -> None:
    older = held(world)
    world.rollout(version="new")
    going = world.until(Go)
    (order,) = agent.orders.values()
    _, second = order.targets
    agent.outcomes[second.update_id] = agent.outcome(order, second.update_id, Result.FAILED)
    agent.recreated.append(second.update_id)
    world.deliver(going)
    assert end(world, older)[0] is HostState.SUCCEEDED
    ordered = agent.orders[max(agent.orders)].targets
    assert [each.container for each in ordered] == [second.container]


def test_a_way_back_of_the_newer_one_leaves_the_way_free(world: World, agent: Agent) -> None:
    older = held(world)
    newer = world.rollout(version="new")
    world.run()
    assert rollouts.undo_rollout(world.db, newer, **BY) is not None
    world.run()
    assert end(world, older)[0] is HostState.SUCCEEDED


def test_of_a_newer_one_whose_outcome_nobody_knows_the_worst_is_thought(
    world: World, agent: Agent, clock: HeldClock
) -> None:
    older = held(world)
    world.rollout(version="new", spec=RolloutSpec(tries=TrySpec(max=1)))
    world.until(Go)
    clock.move(hours=2)
    world.tick()
    world.take(agent, world.heartbeat())
    assert end(world, older)[0] is HostState.SKIPPED
