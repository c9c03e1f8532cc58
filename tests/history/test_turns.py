"""Where one host stands in the newest rollouts, which tells why it was or was not updated."""

from fleet.history.questions.turns import turns
from fleet.rollouts.spec import Gate, RolloutSpec, TrySpec, WaveSpec
from fleet.rollouts.states import HostState, RolloutState
from fleet.updates.outcome import Result
from tests.history.world import World, container

ONE_FIRST = RolloutSpec(waves=(WaveSpec(size=1, gate=Gate()), WaveSpec(gate=Gate())), tries=TrySpec(max=1))


def test_a_host_tells_of_the_rollouts_that_it_never_had_its_turn_in(world: World) -> None:
    """The history has no outcome of it: that the rollout ended at its first host is told here alone."""
    agents = [world.add_host(f"web-{n}", container("web")) for n in range(2)]
    agents[0].result = agents[1].result = Result.ROLLED_BACK
    world.rollout(spec=ONE_FIRST)
    world.run()
    told = {turn.state: turn for agent in agents for turn in turns(world.db, agent.id, 5)}
    assert set(told) == {HostState.FAILED, HostState.CANCELLED}
    failed, withdrawn = told[HostState.FAILED], told[HostState.CANCELLED]
    assert (failed.reason, failed.wave, failed.tries) == ("cannot do it", 0, 1)
    assert (withdrawn.reason, withdrawn.wave, withdrawn.tries) == ("the rollout is rolled back", 1, 0)
    assert {turn.rollout_state for turn in told.values()} == {RolloutState.ROLLED_BACK}


def test_the_newest_turns_come_first_and_no_more_than_were_asked_for(world: World) -> None:
    agent, other = (world.add_host(name, container("web")) for name in ("web-1", "web-2"))
    world.rollout("web-1", version="2")
    world.run()
    world.rollout("web-2", version="3")
    world.rollout("web-1", version="4")
    assert [turn.number for turn in turns(world.db, agent.id, 5)] == [3, 1]
    assert [turn.number for turn in turns(world.db, agent.id, 1)] == [3]
    (waits,) = turns(world.db, other.id, 5)
    assert (waits.state, waits.asked_by, waits.holds) == (HostState.PENDING, "person:anna", ())
