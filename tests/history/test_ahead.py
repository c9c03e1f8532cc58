"""While a wave soaks the next one pulls ahead, where the spec says so: bytes come early, and nothing else does."""

from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

from fleet.history.questions import queries
from fleet.history.questions.rollout_queries import RolloutDetail
from fleet.history.rollouts import people
from fleet.history.tables.facts import commands, pulls, updates
from fleet.history.tables.words import Purpose
from fleet.road.messages import Go, Order
from fleet.rollouts.spec import Gate, RolloutSpec, WaveSpec
from fleet.rollouts.states import HostState, RolloutState, WaveState
from fleet.updates.outcome import PullOutcome, Result
from tests.history.conftest import HeldClock
from tests.history.world import BY, Agent, World, container, rows

SOAK_MS = 600_000
SPEC = RolloutSpec(
    waves=(
        WaveSpec(size=1, gate=Gate(), soak_ms=SOAK_MS, prefetch_next=True),
        WaveSpec(size=3, gate=Gate()),
        WaveSpec(),
    )
)


def _begun(world: World, spec: RolloutSpec = SPEC) -> UUID:
    """Return a rollout of six hosts whose canary soaks."""
    for n in range(6):
        world.add_host(f"web-{n}", container("app"))
    id = world.rollout(spec=spec)
    world.run()
    return id


def _detail(world: World, id: UUID) -> RolloutDetail:
    return queries.rollout(world.db, id)


def _in_wave(world: World, id: UUID, number: int) -> list[Agent]:
    return [world.agents[host.host_id.hex] for host in _detail(world, id).hosts if host.wave == number]


def _ahead(world: World) -> list[dict[str, object]]:
    return [row for row in rows(world.db, pulls) if row["purpose"] is Purpose.PREFETCH]


def test_the_next_wave_pulls_while_the_canary_soaks_and_touches_nothing(world: World) -> None:
    id = _begun(world)
    found = _detail(world, id)
    assert [wave.state for wave in found.waves] == [WaveState.SOAKING, WaveState.PENDING, WaveState.PENDING]
    second = {agent.id for agent in _in_wave(world, id, 1)}
    assert {row["host_id"] for row in _ahead(world)} == second
    assert not any(agent.recreated for agent in _in_wave(world, id, 1))
    assert {host.state for host in found.hosts if host.wave == 1} == {HostState.PENDING}
    assert all(row["ended_at"] is not None for row in rows(world.db, commands))


def test_each_host_pulls_ahead_once_and_is_updated_by_a_command_of_its_own(world: World, clock: HeldClock) -> None:
    id = _begun(world)
    for _ in range(5):
        world.run(3)
    assert len(_ahead(world)) == 3
    clock.move(minutes=11)
    world.run(30)
    assert _detail(world, id).rollout.state is RolloutState.COMPLETED
    assert len(_ahead(world)) == 3
    assert [len(agent.recreated) for agent in world.agents.values()] == [1] * 6
    assert {len(agent.cancelled) for agent in _in_wave(world, id, 1)} == {1}
    assert len(rows(world.db, updates)) == 6


def test_no_more_hosts_pull_ahead_at_once_than_may_be_live(world: World) -> None:
    for n in range(6):
        world.add_host(f"web-{n}", container("app"))
    world.rollout(spec=replace(SPEC, max_parallel=2))
    orders = []
    for _ in range(12):
        sent = world.tick()
        orders.append(sum(isinstance(each.message, Order) for each in sent))
        world.deliver(sent)
    assert max(orders) <= 2
    assert len(_ahead(world)) == 3


def test_a_pull_ahead_that_fails_is_no_failed_update(world: World, clock: HeldClock) -> None:
    for n in range(6):
        world.add_host(f"web-{n}", container("app"))
    id = world.rollout(spec=SPEC)
    for agent in _in_wave(world, id, 1):
        agent.pulling = _fails(agent)
    world.run()
    assert [row["ok"] for row in _ahead(world)] == [False] * 3
    for agent in world.agents.values():
        agent.pulling = None
    clock.move(minutes=11)
    world.run(30)
    assert _detail(world, id).rollout.state is RolloutState.COMPLETED


def test_the_outcome_of_a_pull_ahead_is_none_of_an_update_and_gets_its_receipt(world: World) -> None:
    for n in range(6):
        world.add_host(f"web-{n}", container("app"))
    id = world.rollout(spec=SPEC)
    second = {agent.id.hex for agent in _in_wave(world, id, 1)}
    for _ in range(8):
        sent = world.tick()
        early = [each for each in sent if isinstance(each.message, Order) and each.host_id in second]
        for each in early:
            agent, order = world.agents[each.host_id], each.message
            assert isinstance(order, Order)
            agent.outcomes[order.targets[0].update_id] = told = agent.outcome(
                order, order.targets[0].update_id, Result.FAILED
            )
            world.take(agent, told)
        world.deliver([each for each in sent if each not in early])
    assert not any(agent.outcomes for agent in world.agents.values())
    assert [row["result"] for row in rows(world.db, updates)] == [Result.UPDATED]
    assert _detail(world, id).rollout.counts == {HostState.SUCCEEDED: 1, HostState.PENDING: 5}


def _fails(agent: Agent) -> Callable[[Order, UUID], PullOutcome]:
    def pulling(order: Order, id: UUID) -> PullOutcome:
        return replace(agent.pull(order, id), ok=False, reason="cannot pull it")

    return pulling


def test_what_pulls_ahead_when_its_wave_is_opened_is_called_off_and_ordered_anew(
    world: World, clock: HeldClock
) -> None:
    for n in range(6):
        world.add_host(f"web-{n}", container("app"))
    id = world.rollout(spec=SPEC)
    second = {agent.id.hex for agent in _in_wave(world, id, 1)}
    for _ in range(8):
        sent = world.tick()
        world.deliver([each for each in sent if not (isinstance(each.message, Order) and each.host_id in second)])
    assert [row["state"].value for row in rows(world.db, commands) if row["ended_at"] is None] == ["pulling"] * 3
    clock.move(minutes=11)
    offers = world.advance_all()
    # Else two commands would pull the same at once, and the first would wait for a go that never comes.
    assert [row["state"].value for row in rows(world.db, commands) if row["ended_at"] is None] == ["offered"] * 3
    world.deliver(offers)
    world.run(30)
    assert _detail(world, id).rollout.state is RolloutState.COMPLETED
    assert [len(agent.recreated) for agent in world.agents.values()] == [1] * 6


def test_nothing_is_pulled_ahead_without_the_wish_or_while_the_rollout_is_held(world: World) -> None:
    plain = replace(SPEC, waves=(replace(SPEC.waves[0], prefetch_next=False), *SPEC.waves[1:]))
    id = _begun(world, plain)
    assert not _ahead(world)
    people.abort_rollout(world.db, id, **BY)
    world.run()
    held = world.rollout(spec=SPEC, version="newer")
    for _ in range(12):
        if _detail(world, held).waves[0].state is WaveState.SOAKING:
            break
        world.deliver(world.tick())
    people.hold_rollout(world.db, held, **BY)
    sent = [each for _ in range(5) for each in world.tick()]
    assert not [each for each in sent if isinstance(each.message, Order | Go)]
