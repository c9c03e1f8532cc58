"""A host that succeeded and does not run well any more counts as a failure while its rollout is active, and no longer."""

from dataclasses import replace
from typing import Any

import pytest

from fleet.history.questions import queries
from fleet.history.rollouts import people
from fleet.rollouts.spec import Gate, OnFailure, RolloutSpec, WaveSpec
from fleet.rollouts.states import Hold, HostState, RolloutState
from fleet.updates.snapshot import ContainerState
from tests.history.conftest import HeldClock
from tests.history.world import BY, Agent, World, container, digest_of, snapshot

SOAKED = RolloutSpec(
    waves=(WaveSpec(size=1, gate=Gate(), soak_ms=600_000, on_failure=OnFailure.HOLD), WaveSpec(gate=Gate()))
)


def _now_runs(world: World, agent: Agent, version: str = "new", **changes: Any) -> ContainerState:
    """Let the host show what it runs after an update."""
    shown = replace(container("app", version="new"), digests=(digest_of(f"nginx:1.27 {version}"),), **changes)
    world.take(agent, snapshot(shown))
    return shown


def _canary(world: World, id: object) -> Agent:
    (host,) = [host for host in queries.rollout(world.db, id).hosts if host.wave == 0]  # type: ignore[arg-type]
    return world.agents[host.host_id.hex]


@pytest.mark.parametrize(
    ("version", "changes", "why"),
    [
        ("old", {}, f"app runs {digest_of('nginx:1.27 old')[:19]} instead of {digest_of('nginx:1.27 new')[:19]}"),
        ("new", {"health": "unhealthy"}, "app is unhealthy"),
        ("new", {"state": "restarting"}, "app is restarting"),
    ],
)
def test_a_canary_that_does_not_run_well_in_its_soak_holds_the_rollout(
    world: World, clock: HeldClock, version: str, changes: dict[str, Any], why: str
) -> None:
    for n in range(3):
        world.add_host(f"web-{n}", container("app"))
    id = world.rollout(spec=SOAKED)
    world.run()
    canary = _canary(world, id)
    _now_runs(world, canary)
    clock.move(minutes=3)
    _now_runs(world, canary, version, **changes)
    clock.move(minutes=10)
    world.run()
    found = queries.rollout(world.db, id)
    (host,) = [each for each in found.hosts if each.wave == 0]
    assert (host.state, host.reason) == (HostState.REGRESSED, why)
    assert found.rollout.holds == frozenset({Hold.GATE_FAILED})
    assert not [agent for agent in world.agents.values() if agent is not canary and agent.recreated]


def test_a_snapshot_from_before_the_update_is_no_regress(world: World) -> None:
    for n in range(3):
        world.add_host(f"web-{n}", container("app"))
    id = world.rollout(spec=SOAKED)
    world.run()
    world.take(_canary(world, id), snapshot(container("app")))
    assert queries.rollout(world.db, id).rollout.counts[HostState.SUCCEEDED] == 1


def test_what_was_shown_before_the_outcome_came_counts_once_it_has_come(world: World) -> None:
    """The outcome is repeated until its receipt; the snapshot is told once."""
    agent = world.add_host("web-0", container("app"))
    world.add_host("web-1", container("app"))
    id = world.rollout("web-0", "web-1", spec=SOAKED)
    canary = _canary(world, id)
    sent = world.tick()
    for _ in range(3):
        world.deliver(sent)
        sent = world.tick()
        if any(each.message.kind == "go" for each in sent):
            break
    said = [up for each in sent for up in world.agents[each.host_id].hear(each.message)]
    _now_runs(world, canary, state="restarting")
    world.take(canary, *said)
    assert queries.rollout(world.db, id).rollout.counts[HostState.REGRESSED] == 1
    assert agent.name


def test_a_rollout_that_is_over_or_aborted_counts_nothing_more(world: World) -> None:
    for n in range(3):
        world.add_host(f"web-{n}", container("app"))
    id = world.rollout(spec=SOAKED)
    world.run()
    canary = _canary(world, id)
    people.abort_rollout(world.db, id, **BY)
    world.run()
    _now_runs(world, canary, state="exited")
    found = queries.rollout(world.db, id).rollout
    assert (found.state, found.counts[HostState.SUCCEEDED]) == (RolloutState.ABORTED, 1)
