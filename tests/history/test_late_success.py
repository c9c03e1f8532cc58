"""A success that comes when its rollout has gone back already: the history has it, and nothing that is over changes."""

from dataclasses import replace

import pytest

from fleet.errors import Refused
from fleet.history.questions import queries
from fleet.history.questions.language import Query
from fleet.history.rollouts import people
from fleet.history.tables.facts import commands
from fleet.history.tables.rollouts import rollout_hosts, rollouts, waves
from fleet.road.messages import Go, Outcome, Receipt
from fleet.rollouts.spec import Gate, OnFailure, RolloutSpec, TrySpec, WaveSpec
from fleet.rollouts.states import FailureClass, HostState, RolloutState
from fleet.updates.outcome import Result
from tests.history.conftest import HeldClock
from tests.history.world import BY, Agent, World, container, rows

SPEC = RolloutSpec(
    waves=(WaveSpec(size=2, gate=Gate(), on_failure=OnFailure.ROLLBACK), WaveSpec(gate=Gate())), tries=TrySpec(max=1)
)


def late_success(world: World, clock: HeldClock, *, until_over: bool = True, hosts: int = 3) -> tuple[Agent, Outcome]:
    """Let one of two canaries do its work and its word be lost, until its time is over and the rollout goes, or went, back."""
    for n in range(hosts):
        world.add_host(f"web-{n}", container("app"))
    id = world.rollout(spec=SPEC)
    go, *others = [each for each in world.until(Go) if isinstance(each.message, Go)]
    world.deliver(others)
    agent = world.agents[go.host_id]
    (said,) = agent.hear(go.message)
    assert isinstance(said, Outcome)
    agent.outcomes.clear()
    clock.move(minutes=20)
    for each in world.agents.values():
        world.take(each, world.heartbeat())
    if until_over:
        world.run()
        assert queries.rollout(world.db, id).rollout.state is RolloutState.ROLLED_BACK
    else:
        world.tick()
        assert queries.rollout(world.db, id).rollout.state is RolloutState.ROLLING_BACK
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


def _targets(world: World, agent: Agent) -> list[tuple[str, str]]:
    """Return from which container to which digest each way back brings a host, the oldest first."""
    ways = {row["id"] for row in rows(world.db, rollouts) if row["way_back_of"]}
    mine = [row for row in rows(world.db, rollout_hosts) if row["host_id"] == agent.id and row["rollout_id"] in ways]
    return [
        (t["container_id"], t["digest"])
        for row in sorted(mine, key=lambda row: row["rollout_id"])
        for t in row["targets"]
    ]


def test_a_success_that_comes_while_the_way_back_is_under_way_is_brought_back_by_it(
    world: World, clock: HeldClock
) -> None:
    """It runs the new image like those whose word came in time."""
    agent, said = late_success(world, clock, until_over=False)
    assert not all(row["state"].ended for row in rows(world.db, rollouts)), "the way back is under way"
    world.take(agent, said)
    # What was sent and heard by nobody is sent again.
    clock.move(minutes=2)
    world.run()
    assert _targets(world, agent) == [(said.outcome.new_container_id, said.outcome.old_digest)]
    assert all(row["state"].ended for row in rows(world.db, rollouts))
    assert len(agent.recreated) == 2, "there, and back"


def test_a_success_that_comes_after_the_way_back_is_told_and_brought_back_by_another(
    world: World, clock: HeldClock
) -> None:
    agent, said = late_success(world, clock)
    first = min(row["id"] for row in rows(world.db, rollouts))
    assert people.not_brought_back(world.db, first) == []
    world.take(agent, said)
    assert people.not_brought_back(world.db, first) == [agent.name]
    assert people.undo_rollout(world.db, first, **BY) is not None
    with pytest.raises(Refused, match="does so already"):
        people.undo_rollout(world.db, first, **BY)
    world.run()
    assert _targets(world, agent) == [(said.outcome.new_container_id, said.outcome.old_digest)]
    assert people.not_brought_back(world.db, first) == []
    with pytest.raises(Refused, match="has done so already"):
        people.undo_rollout(world.db, first, **BY)


def test_a_success_that_comes_before_a_person_undoes_its_rollout_is_in_the_way_back(
    world: World, clock: HeldClock
) -> None:
    """Its host counts as failed for want of time: what it runs decides."""
    world.add_host("web-0", container("app"))
    id = world.rollout(spec=RolloutSpec(waves=(WaveSpec(gate=Gate()),), tries=TrySpec(max=2)))
    (go,) = world.until(Go)
    agent = world.agents[go.host_id]
    (said,) = agent.hear(go.message)
    assert isinstance(said, Outcome)
    agent.outcomes.clear()
    clock.move(minutes=20)
    world.tick()
    people.abort_rollout(world.db, id, **BY)
    world.tick()
    assert of_host(world, agent) == [(HostState.FAILED, FailureClass.TIMEOUT)]
    world.take(agent, said)
    assert people.undo_rollout(world.db, id, **BY) is not None
    assert _targets(world, agent) == [(said.outcome.new_container_id, said.outcome.old_digest)]


def test_a_success_of_the_only_host_that_ran_out_of_time_is_told_though_there_was_no_way_back(
    world: World, clock: HeldClock
) -> None:
    agent, said = late_success(world, clock, hosts=1)
    (first,) = (row["id"] for row in rows(world.db, rollouts))
    assert people.not_brought_back(world.db, first) == []
    world.take(agent, said)
    assert people.not_brought_back(world.db, first) == [agent.name]
    assert people.undo_rollout(world.db, first, **BY) is not None
