"""A success that comes when its rollout has gone back already: the history has it, and nothing that is over changes."""

from dataclasses import replace

from fleet.history import queries
from fleet.history.fact_tables import commands
from fleet.history.language import Query
from fleet.history.rollout_tables import rollout_hosts, rollouts, waves
from fleet.road.messages import Go, Outcome, Receipt
from fleet.rollouts.spec import Gate, OnFailure, RolloutSpec, TrySpec, WaveSpec
from fleet.rollouts.states import FailureClass, HostState, RolloutState
from fleet.updates.outcome import Result
from tests.history.conftest import HeldClock
from tests.history.world import Agent, World, container, rows

SPEC = RolloutSpec(
    waves=(WaveSpec(size=2, gate=Gate(), on_failure=OnFailure.ROLLBACK), WaveSpec(gate=Gate())), tries=TrySpec(max=1)
)


def late_success(world: World, clock: HeldClock) -> tuple[Agent, Outcome]:
    """Let one of two canaries do its work and its word be lost, until its time is over and the rollout has gone back."""
    for n in range(3):
        world.add_host(f"web-{n}", container("app"))
    id = world.rollout(spec=SPEC)
    go, other = [each for each in world.until(Go) if isinstance(each.message, Go)]
    world.deliver([other])
    agent = world.agents[go.host_id]
    (said,) = agent.hear(go.message)
    assert isinstance(said, Outcome)
    agent.outcomes.clear()
    clock.move(minutes=20)
    for each in world.agents.values():
        world.take(each, world.heartbeat())
    world.run()
    assert queries.rollout(world.db, id).rollout.state is RolloutState.ROLLED_BACK
    return agent, said


def of_host(world: World, agent: Agent) -> list[tuple[HostState, str | None]]:
    """Return how a host stands in each rollout, the oldest first, and whose fault its failure is."""
    found = [row for row in rows(world.db, rollout_hosts) if row["host_id"] == agent.id]
    return [(row["state"], row["failure"]) for row in sorted(found, key=lambda row: row["rollout_id"])]


def test_a_success_after_the_way_back_ended_begins_nothing_and_ends_nothing_anew(
    world: World, clock: HeldClock
) -> None:
    agent, said = late_success(world, clock)
    assert all(row["state"].ended for row in rows(world.db, rollouts)), "the way back is over as well"
    before = [rows(world.db, table) for table in (rollouts, waves, commands)]
    assert world.take(agent, said).refused == 0
    sent = world.tick()
    assert [each.message for each in sent] == [Receipt(ids=(said.outcome.update_id,))]
    assert [rows(world.db, table) for table in (rollouts, waves, commands)] == before


def test_the_try_that_ran_out_of_time_is_told_as_what_it_was_and_the_way_back_as_it_went(
    world: World, clock: HeldClock
) -> None:
    agent, said = late_success(world, clock)
    went_back = [of_host(world, each) for each in world.agents.values() if each is not agent]
    assert sorted(map(len, went_back)) == [1, 2], "the other canary is in both"
    assert of_host(world, agent) == [(HostState.FAILED, FailureClass.TIMEOUT)]
    world.take(agent, said)
    assert of_host(world, agent) == [(HostState.SUCCEEDED, None)]
    assert [of_host(world, each) for each in world.agents.values() if each is not agent] == went_back


def test_a_success_told_twice_so_late_is_one_row(world: World, clock: HeldClock) -> None:
    agent, said = late_success(world, clock)
    world.take(agent, said)
    world.take(agent, said, said.model_copy(update={"outcome": replace(said.outcome, result=Result.ROLLED_BACK)}))
    found = [row for row in queries.outcomes(world.db, Query()).items if row.id == said.outcome.update_id]
    assert [row.result for row in found] == [Result.UPDATED]
