"""An agent that ended in the middle of an update: its host gets another try, and no gate fails for it."""

from dataclasses import replace
from uuid import uuid4

import pytest

from fleet.history.questions import queries
from fleet.history.questions.language import Query
from fleet.history.tables.rollouts import rollout_hosts, rollouts
from fleet.road.messages import UP, Claim, Go, Order, Outcome
from fleet.road.versions import READS, VERSION
from fleet.rollouts.spec import Gate, RolloutSpec, TrySpec, WaveSpec
from fleet.rollouts.states import FailureClass, HostState, RolloutState
from fleet.updates.outcome import Result
from tests.history.conftest import HeldClock
from tests.history.world import Agent, World, container, rows

STRICT = RolloutSpec(
    waves=(WaveSpec(gate=Gate(tolerance_pct=0)),),
    tries=TrySpec(max=2, retry_on=(FailureClass.INFRASTRUCTURE, FailureClass.TIMEOUT)),
)


def told(world: World, agent: Agent, *, interrupted: bool = True, result: Result = Result.ROLLED_BACK) -> None:
    """Let the agent carry its next order out, and tell that it was taken back."""
    (sent,) = [each.message for each in world.until(Go) if isinstance(each.message, Go)]
    said = [each for each in agent.hear(sent) if isinstance(each, Outcome) and each.command == sent.command]
    came = replace(said[0].outcome, result=result, interrupted=interrupted)
    message = Outcome.read_in(3, command=sent.command, outcome=came, finished_at=said[0].finished_at)
    world.take(agent, UP.validate_json(message.model_dump_json()))


def host(world: World) -> tuple[HostState, str | None, int]:
    """Return the only host's state, whose fault its latest failure is, and its tries."""
    (row,) = rows(world.db, rollout_hosts)
    return row["state"], row["failure"], row["tries"]


@pytest.fixture
def agent(world: World) -> Agent:
    """A host with one container, and a rollout for it that forgives no failure."""
    agent = world.add_host("web-1", container("web"))
    world.rollout(spec=STRICT)
    return agent


def state(world: World) -> RolloutState:
    """Return the only rollout's state."""
    (row,) = rows(world.db, rollouts)
    return RolloutState(row["state"])


def test_it_is_tried_again_and_the_rollout_completes(world: World, agent: Agent, clock: HeldClock) -> None:
    told(world, agent)
    assert host(world) == (HostState.PENDING, FailureClass.INFRASTRUCTURE, 1)
    clock.at = rows(world.db, rollout_hosts)[0]["not_before"]
    world.run()
    assert (host(world)[0], state(world)) == (HostState.SUCCEEDED, RolloutState.COMPLETED)
    newest, oldest = queries.outcomes(world.db, Query()).items
    assert [newest.interrupted, oldest.interrupted] == [False, True]


def test_once_its_tries_are_spent_it_has_failed(world: World, agent: Agent, clock: HeldClock) -> None:
    told(world, agent)
    clock.at = rows(world.db, rollout_hosts)[0]["not_before"]
    told(world, agent)
    assert host(world) == (HostState.FAILED, FailureClass.INFRASTRUCTURE, 2)


def test_what_an_agent_of_an_earlier_release_takes_back_is_the_releases_fault(world: World, agent: Agent) -> None:
    told(world, agent, interrupted=False)
    assert host(world) == (HostState.FAILED, FailureClass.RELEASE, 1)


def test_where_the_old_one_did_not_come_back_nothing_is_tried(world: World, agent: Agent) -> None:
    told(world, agent, result=Result.ROLLBACK_FAILED)
    assert host(world) == (HostState.FAILED, FailureClass.ENGINE, 1)


@pytest.mark.parametrize(("reads", "version"), [((1, 2), 2), ((1, 2, 3), 3), ((*READS, VERSION + 1), VERSION)])
def test_an_order_comes_in_the_highest_version_that_both_know(
    world: World, agent: Agent, reads: tuple[int, ...], version: int
) -> None:
    life = uuid4()
    heartbeat = world.heartbeat()
    heartbeat = heartbeat.model_copy(update={"facts": heartbeat.facts.model_copy(update={"reads": reads})})
    (offer,) = world.tick()
    claim = next(each for each in agent.hear(offer.message) if isinstance(each, Claim))
    world.take(agent, heartbeat.of_life(life), claim.of_life(life))
    (order,) = world.tick()
    assert isinstance(order.message, Order)
    assert (order.message.v, order.message.life) == (version, life)
