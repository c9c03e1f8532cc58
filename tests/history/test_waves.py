"""Rollouts in several waves, through SQL: gates, soaks, holds and what people answer, on both databases."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from fleet.errors import Refused
from fleet.history.inventory import hosts
from fleet.history.noted import audit
from fleet.history.questions import queries
from fleet.history.questions.rollout_queries import RolloutDetail
from fleet.history.rollouts import caps, people
from fleet.history.tables.rollouts import waves as wave_table
from fleet.road.messages import Go, Order
from fleet.rollouts.spec import Budget, Gate, OfflineSpec, RolloutSpec, TrySpec, WaveSpec
from fleet.rollouts.states import FailureClass, Hold, HostState, RolloutState, WaveState
from fleet.rollouts.windows import Window
from fleet.updates.outcome import PullOutcome, Result
from tests.history.conftest import HeldClock
from tests.history.world import BY, Agent, World, container, rows

CANARY = WaveSpec(size=1, gate=Gate())
REST = WaveSpec(gate=Gate())
STAGED = RolloutSpec(waves=(CANARY, WaveSpec(size=2, gate=Gate()), REST))


def fleet(world: World, count: int, **labels: str) -> list[Agent]:
    """Add hosts that run app."""
    agents = [world.add_host(f"web-{n}", container("app")) for n in range(1, count + 1)]
    for agent in agents:
        if labels:
            hosts.label_host(world.db, agent.name, labels=labels, **BY)
    return agents


def detail(world: World, id: UUID) -> RolloutDetail:
    """Return the rollout as it stands."""
    return queries.rollout(world.db, id)


def states(world: World, id: UUID) -> list[str]:
    """Return the state of each wave."""
    return [wave.state.value for wave in detail(world, id).waves]


def in_wave(world: World, id: UUID, number: int) -> list[Agent]:
    """Return the agents of the hosts of one wave."""
    return [world.agents[h.host_id.hex] for h in detail(world, id).hosts if h.wave == number]


def touched(agents: Iterable[Agent]) -> int:
    """Return how many of them recreated anything."""
    return sum(1 for agent in agents if agent.recreated)


def break_(agents: Iterable[Agent]) -> None:
    """Let updates on these fail from now on."""
    for agent in agents:
        agent.result = Result.ROLLED_BACK


def test_waves_follow_one_another_and_each_waits_for_the_one_before(world: World) -> None:
    agents = fleet(world, 6)
    id = world.rollout(spec=STAGED)
    assert [len(in_wave(world, id, n)) for n in range(3)] == [1, 2, 3]
    seen = []
    for _ in range(30):
        sent = world.tick()
        if any(isinstance(each.message, Go) for each in sent):
            seen.append(sorted({h.wave for h in detail(world, id).hosts if h.state is HostState.APPLYING}))
        world.deliver(sent)
    assert seen == [[0], [1], [2]]
    assert detail(world, id).rollout.state is RolloutState.COMPLETED
    assert (states(world, id), touched(agents)) == (["passed"] * 3, 6)


def test_a_bad_canary_goes_back_and_nobody_else_is_touched(world: World) -> None:
    agents = fleet(world, 5)
    id = world.rollout(spec=STAGED)
    break_(agents)
    world.run(20)
    found = detail(world, id)
    assert found.rollout.state is RolloutState.ROLLED_BACK
    assert (states(world, id), touched(agents)) == (["failed"] * 3, 1)
    assert found.waves[0].evidence is not None
    assert found.waves[0].evidence["failed"] == 1
    # The host went back by itself: where nothing is left to undo, no rollout is made of it.
    assert [each.id for each in queries.rollouts(world.db).items] == [id]
    with pytest.raises(Refused, match="updated nothing that can be brought back"):
        people.undo_rollout(world.db, id, **BY)


def test_a_bad_later_wave_holds_the_rollout_until_a_person_retries_it(world: World) -> None:
    agents = fleet(world, 6)
    id = world.rollout(spec=STAGED)
    break_(in_wave(world, id, 1))
    world.run(20)
    found = detail(world, id)
    assert (found.rollout.holds, states(world, id)) == (frozenset({Hold.GATE_FAILED}), ["passed", "failed", "pending"])
    assert touched(agents) == 3
    with pytest.raises(Refused, match="retry or waive"):
        people.release_rollout(world.db, id, hold=Hold.GATE_FAILED, **BY)
    for agent in agents:
        agent.result = Result.UPDATED
    people.retry_wave(world.db, id, **BY)
    world.run(20)
    assert (detail(world, id).rollout.state, states(world, id)) == (RolloutState.COMPLETED, ["passed"] * 3)
    assert audit.acts(world.db).items[0].action == "rollout retried"


def test_a_waived_wave_lets_the_next_one_go_and_keeps_who_why_and_the_numbers(world: World) -> None:
    fleet(world, 6)
    id = world.rollout(spec=STAGED)
    break_(in_wave(world, id, 1))
    world.run(20)
    people.waive_wave(world.db, id, reason="they are being replaced", **BY)
    world.run(20)
    wave = detail(world, id).waves[1]
    assert (wave.state, wave.decided_by, wave.reason) == (WaveState.WAIVED, "person:anna", "they are being replaced")
    assert wave.evidence is not None
    assert (wave.evidence["failed"], wave.evidence["planned"]) == (2, 2)
    assert detail(world, id).rollout.state is RolloutState.COMPLETED_WITH_FAILURES


def test_a_wave_that_needs_approval_waits_for_it(world: World) -> None:
    agents = fleet(world, 3)
    id = world.rollout(spec=RolloutSpec(waves=(CANARY, WaveSpec(gate=Gate(), approval=True))))
    world.run(20)
    assert (detail(world, id).rollout.holds, touched(agents)) == (frozenset({Hold.APPROVAL}), 1)
    with pytest.raises(Refused, match="approve the wave"):
        people.release_rollout(world.db, id, **BY)
    people.approve_wave(world.db, id, **BY)
    world.run(20)
    found = detail(world, id)
    assert (found.rollout.state, found.waves[1].approved_by) == (RolloutState.COMPLETED, "person:anna")
    with pytest.raises(Refused):
        people.approve_wave(world.db, id, **BY)


def test_a_wave_soaks_before_the_next_one_opens(world: World, clock: HeldClock) -> None:
    agents = fleet(world, 2)
    id = world.rollout(spec=RolloutSpec(waves=(WaveSpec(size=1, gate=Gate(), soak_ms=600_000), REST)))
    world.run(12)
    assert (states(world, id), touched(agents)) == (["soaking", "pending"], 1)
    clock.move(minutes=9, seconds=59)
    world.run(5)
    assert states(world, id) == ["soaking", "pending"]
    clock.move(seconds=1)
    world.run(12)
    assert states(world, id) == ["passed", "passed"]


def test_a_silent_canary_never_passes_and_a_person_is_asked_at_the_deadline(world: World, clock: HeldClock) -> None:
    agents = fleet(world, 3)
    spec = RolloutSpec(
        waves=(WaveSpec(size=1, gate=Gate(), deadline_ms=3_600_000), REST), offline=OfflineSpec(park=True)
    )
    id = world.rollout(spec=spec)
    (canary,) = in_wave(world, id, 0)
    clock.move(minutes=20)
    for agent in agents:
        if agent is not canary:
            world.take(agent, world.heartbeat())
    world.run(5)
    parked = {h.host: h.state for h in detail(world, id).hosts}
    assert parked[canary.name] is HostState.PARKED
    clock.move(hours=1)
    world.run(5)
    assert (detail(world, id).rollout.holds, touched(agents)) == (frozenset({Hold.INCONCLUSIVE}), 0)
    people.waive_wave(world.db, id, reason="it is in repair", **BY)
    for agent in agents:
        if agent is not canary:
            world.take(agent, world.heartbeat())
    world.run(20)
    assert touched(agents) == 2
    assert not detail(world, id).rollout.state.ended
    world.take(canary, world.heartbeat())
    world.run(20)
    assert touched(agents) == 3
    assert detail(world, id).rollout.state is RolloutState.COMPLETED


@pytest.mark.parametrize(("after_ms", "state"), [(3_600_000, HostState.SUCCEEDED), (120_000, HostState.PARKED)])
def test_a_spec_says_how_long_a_host_may_say_nothing(
    world: World, clock: HeldClock, after_ms: int, state: HostState
) -> None:
    world.add_host("web-1", container("app"))
    clock.move(minutes=10 if state is HostState.PARKED else 40)
    id = world.rollout(spec=RolloutSpec(waves=(REST,), offline=OfflineSpec(park=True, after_ms=after_ms)))
    world.run()
    assert [host.state for host in detail(world, id).hosts] == [state]


def test_a_parked_host_that_stays_away_too_long_is_given_up(world: World, clock: HeldClock) -> None:
    agents = fleet(world, 2)
    spec = RolloutSpec(waves=(REST,), offline=OfflineSpec(park=True, catch_up_ms=86_400_000))
    id = world.rollout(spec=spec)
    clock.move(minutes=20)
    world.take(agents[0], world.heartbeat())
    world.run(8)
    clock.move(days=1)
    world.run(8)
    given = {h.host: h for h in detail(world, id).hosts}["web-2"]
    assert (given.state, "longer than it may" in given.reason) == (HostState.CANCELLED, True)


def test_no_more_hosts_of_one_value_are_away_than_a_cap_allows_over_all_rollouts(world: World) -> None:
    fleet(world, 4, site="berlin")
    caps.set_cap(world.db, "site", "50%", **BY)
    first = world.rollout("web-1", "web-2", "web-3")
    second = world.rollout("web-4")
    most = 0
    for _ in range(30):
        sent = world.tick()
        most = max(most, sum(1 for id in (first, second) for h in detail(world, id).hosts if h.state.live))
        world.deliver(sent)
    assert most == 2
    assert [detail(world, id).rollout.state for id in (first, second)] == [RolloutState.COMPLETED] * 2


def test_a_broken_host_keeps_its_place_in_the_cap(world: World) -> None:
    agents = fleet(world, 3, rack="r1")
    caps.set_cap(world.db, "rack", "1", **BY)
    break_(agents)
    id = world.rollout()
    world.run(20)
    assert touched(agents) == 1
    assert [h.state.value for h in detail(world, id).hosts].count("pending") == 2


def test_more_failures_than_the_budget_hold_the_rollout_until_a_person_accepts_them(world: World) -> None:
    agents = fleet(world, 6)
    spec = RolloutSpec(waves=(WaveSpec(max_parallel=1),), budget=Budget(max_failed_total=1, fail_fast=None))
    id = world.rollout(spec=spec)
    break_(agents)
    world.run(40)
    assert (detail(world, id).rollout.holds, touched(agents)) == (frozenset({Hold.BUDGET}), 2)
    with pytest.raises(Refused, match="--hold budget"):
        people.release_rollout(world.db, id, **BY)
    people.release_rollout(world.db, id, hold=Hold.BUDGET, **BY)
    world.run(40)
    assert (detail(world, id).rollout.holds, touched(agents)) == (frozenset({Hold.BUDGET}), 3)


def test_the_go_waits_for_the_window_and_costs_no_try(world: World, clock: HeldClock) -> None:
    (agent,) = fleet(world, 1)
    clock.at = datetime(2026, 11, 25, 21, 30, tzinfo=UTC)
    world.take(agent, world.heartbeat())
    id = world.rollout(spec=RolloutSpec(windows=(Window(start="22:00", duration_ms=3 * 3_600_000),)))
    world.run(5)
    assert (agent.recreated, detail(world, id).hosts[0].state) == ([], HostState.READY)
    clock.move(minutes=30)
    world.run(5)
    assert (touched([agent]), detail(world, id).hosts[0].tries) == (1, 1)


def test_no_go_is_given_so_late_that_the_recreate_could_overrun_the_window(world: World, clock: HeldClock) -> None:
    (agent,) = fleet(world, 1)
    clock.at = datetime(2026, 11, 25, 22, 50, tzinfo=UTC)
    world.take(agent, world.heartbeat())
    id = world.rollout(spec=RolloutSpec(windows=(Window(start="22:00", duration_ms=3_600_000),)))
    world.run(5)
    assert agent.recreated == []
    clock.at = datetime(2026, 11, 26, 22, 0, tzinfo=UTC)
    world.take(agent, world.heartbeat())
    world.run(8)
    assert (touched([agent]), detail(world, id).rollout.state) == (1, RolloutState.COMPLETED)


def test_a_newer_rollout_of_the_same_image_takes_over(world: World) -> None:
    agents = fleet(world, 4)
    older = world.rollout(spec=STAGED)
    world.deliver(world.tick())
    newer = world.rollout(version="newer")
    world.run(20)
    assert detail(world, older).rollout.state is RolloutState.SUPERSEDED
    assert detail(world, newer).rollout.state is RolloutState.COMPLETED
    assert touched(agents) == 4
    reasons = {host.reason for host in detail(world, older).hosts if host.state is HostState.SKIPPED}
    assert reasons == {"rollout #2 of the same images took over"}


def test_a_finished_rollout_is_undone_by_one_of_its_own(world: World) -> None:
    agents = fleet(world, 2)
    id = world.rollout()
    world.run()
    way = people.undo_rollout(world.db, id, reason="slow", **BY)
    assert way is not None
    for agent in agents:
        agent.orders.clear()
    world.run()
    found = detail(world, way)
    assert (found.rollout.state, found.rollout.way_back_of) == (RolloutState.COMPLETED, id)
    (target,) = found.hosts[0].targets
    before = detail(world, id).hosts[0].targets[0]
    assert (target["digest"], target["old_digest"]) == (before["old_digest"], before["digest"])
    assert {t.digest for agent in agents for order in agent.orders.values() for t in order.targets} == {
        target["digest"]
    }
    for twice in (id, way):
        with pytest.raises(Refused, match="cannot undo"):
            people.undo_rollout(world.db, twice, **BY)


def test_a_running_rollout_is_stopped_and_what_it_touched_goes_back(world: World) -> None:
    agents = fleet(world, 6)
    id = world.rollout(spec=RolloutSpec(waves=(WaveSpec(size=2, gate=Gate(), soak_ms=600_000), REST)))
    world.run(12)
    assert people.undo_rollout(world.db, id, **BY) is None
    world.run(20)
    assert detail(world, id).rollout.state is RolloutState.ROLLED_BACK
    way = queries.rollouts(world.db).items[0]
    assert way.asked_by == f"rollout:{detail(world, id).rollout.number}"
    assert (way.way_back_of, way.state, way.counts) == (id, RolloutState.COMPLETED, {HostState.SUCCEEDED: 2})
    assert touched(agents) == 2


def test_a_pause_stops_the_clock_of_the_deadline(world: World, clock: HeldClock) -> None:
    fleet(world, 2)
    id = world.rollout(spec=RolloutSpec(waves=(WaveSpec(gate=Gate(), deadline_ms=3_600_000),), max_parallel=1))
    world.tick()
    clock.move(minutes=10)
    people.hold_rollout(world.db, id, **BY)
    clock.move(hours=5)
    world.tick()
    (wave,) = rows(world.db, wave_table)
    assert (wave["active_ms"], wave["active_since"]) == (600_000, None)


def test_a_late_host_joins_the_last_wave(world: World, clock: HeldClock) -> None:
    from fleet.rollouts.spec import LateJoiners

    fleet(world, 2)
    id = world.rollout(spec=RolloutSpec(waves=(CANARY, REST), late_joiners=LateJoiners.CONVERGE))
    clock.move(seconds=5)
    late = world.add_host("web-9", container("app"))
    world.run(20)
    assert touched([late]) == 1
    assert {h.host: h.wave for h in detail(world, id).hosts}["web-9"] == 1


def _cannot_pull(agent: Agent) -> None:
    """Let every pull of this host fail, and so its updates."""
    good = Agent.pull

    def pull(order: Order, pull_id: UUID) -> PullOutcome:
        return replace(good(agent, order, pull_id), ok=False, reason="cannot reach any source")

    agent.pulling = pull
    agent.result = Result.FAILED


def test_a_host_that_cannot_get_the_bytes_is_tried_again_as_often_as_the_spec_says(
    world: World, clock: HeldClock
) -> None:
    (agent,) = fleet(world, 1)
    tries = TrySpec(max=3, backoff_ms=60_000, retry_on=(FailureClass.INFRASTRUCTURE,))
    id = world.rollout(spec=RolloutSpec(tries=tries))
    _cannot_pull(agent)
    for expected in (1, 2):
        world.run(6)
        (host,) = detail(world, id).hosts
        assert (host.state, host.tries, host.failure) == (HostState.PENDING, expected, "infrastructure")
        clock.move(minutes=5)
    world.run(6)
    (host,) = detail(world, id).hosts
    assert (host.state, host.tries) == (HostState.FAILED, 3)


def test_five_hosts_in_a_row_without_bytes_are_an_outage_and_hold_the_rollout(world: World) -> None:
    agents = fleet(world, 7)
    for agent in agents:
        _cannot_pull(agent)
    id = world.rollout(spec=RolloutSpec(waves=(WaveSpec(max_parallel=1),)))
    world.run(60)
    found = detail(world, id)
    assert found.rollout.holds == frozenset({Hold.MIRROR_OUTAGE})
    assert found.rollout.counts == {HostState.FAILED: 5, HostState.PENDING: 2}
    for agent in agents:
        agent.result, agent.pulling = Result.UPDATED, None
    people.release_rollout(world.db, id, hold=Hold.MIRROR_OUTAGE, **BY)
    world.run(30)
    assert detail(world, id).rollout.counts == {HostState.FAILED: 5, HostState.SUCCEEDED: 2}


def test_an_order_holds_the_times_that_the_spec_asks_for(world: World) -> None:
    (agent,) = fleet(world, 1)
    world.rollout(spec=RolloutSpec(tries=TrySpec(apply_timeout_ms=77_000, min_healthy_ms=33_000)))
    world.run()
    (order,) = agent.orders.values()
    assert (order.policy.apply_timeout_ms, order.policy.verify.settle_ms) == (77_000, 33_000)
