"""How hosts behaved is read from what happened to them; and a rehearsal of that agrees with a real run over SQL."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import pytest

from fleet.history.inventory import hosts
from fleet.history.questions import queries
from fleet.history.rollouts import plans
from fleet.history.rollouts.habits import habits
from fleet.rollouts.habits import HostHabits
from fleet.rollouts.rehearsal import rehearse
from fleet.rollouts.rehearsed import Faults, Rehearsal, Rehearsed
from fleet.rollouts.spec import STAGED, Budget, OfflineSpec, RolloutSpec
from fleet.rollouts.states import FailureClass, HostState
from fleet.updates.outcome import Result
from tests.history.conftest import HeldClock
from tests.history.world import BY, Agent, World, container

SPEC = RolloutSpec(waves=STAGED, budget=Budget(), offline=OfflineSpec(park=True))
STEP = timedelta(minutes=3)
MOST_STEPS = 100


def _of(world: World, name: str) -> HostHabits:
    (found,) = [each for each in habits(world.db) if each.name == name]
    return found


def test_times_failures_and_the_mirror_of_a_host_are_read_from_its_updates(world: World) -> None:
    agent = world.add_host("web-1", container("app"))
    world.add_host("web-2", container("app"))
    world.rollout("web-1")
    world.run()
    agent.result = Result.ROLLED_BACK
    world.rollout("web-1", version="newer")
    world.run()
    found = _of(world, "web-1")
    assert (found.updates, found.pulls_ms, found.applies_ms) == (2, (12,), (3,))
    assert (found.failures, found.mirror) == ((FailureClass.RELEASE,), "http://good.lan")
    assert (found.unhealthy, found.away_ms) == (True, None)
    assert _of(world, "web-2").updates == 0


def test_how_long_a_host_was_silent_is_read_from_what_rollouts_told(world: World, clock: HeldClock) -> None:
    agent = world.add_host("web-1", container("app"))
    hosts.label_host(world.db, "web-1", labels={"timezone": "Asia/Tokyo"}, **BY)
    clock.move(minutes=20)
    assert _of(world, "web-1").away_ms == 20 * 60_000
    world.rollout(spec=SPEC)
    world.run()
    clock.move(hours=3)
    world.take(agent, world.heartbeat())
    world.run()
    found = _of(world, "web-1")
    assert (found.spells_ms, found.zone, found.away_ms) == ((3 * 3_600_000,), "Asia/Tokyo", None)


@pytest.mark.parametrize(
    ("bad", "off"),
    [((), ()), (range(12), ()), ((), (2,)), ((3, 7), (2,))],
    ids=["all well", "a bad image", "one off for two hours", "two bad, one off"],
)
def test_a_rehearsal_agrees_with_a_real_run(
    world: World, clock: HeldClock, bad: Sequence[int], off: tuple[int, ...]
) -> None:
    """The same hosts, behaving the same: the same waves, the same hosts touched, the same end, at about the same time."""
    spec = replace(SPEC, waves=tuple(replace(wave, deadline_ms=None) for wave in STAGED))
    agents = [world.add_host(f"web-{n}", container("app")) for n in range(12)]
    for n in bad:
        agents[n].result = Result.ROLLED_BACK
    heard = clock.at
    begin = heard + timedelta(minutes=16)
    back = begin + timedelta(hours=2)
    plan = world.plan()
    expected = rehearse(
        spec,
        [_rehearsed(agent, n in bad, (heard, back) if n in off else None) for n, agent in enumerate(agents)],
        begin,
        seed=plan,
        faults=Faults(bad_image=len(bad) == len(agents)),
    )
    clock.move(minutes=16)
    _heartbeats(world, [agent for n, agent in enumerate(agents) if n not in off])
    id = plans.apply_plan(world.db, plan, spec=spec, **BY)
    _run(world, clock, id, silent={agents[n].id: back for n in off})
    assert _summary(world, id) == _told(expected)
    ended = queries.rollout(world.db, id).rollout.ended_at
    assert (ended is None) == (expected.ended_at is None)
    if ended is not None and expected.ended_at is not None:
        # What waits in a rehearsal is late by five minutes at most: three soaks, and a host that comes back.
        assert abs(ended - expected.ended_at) < timedelta(minutes=20)


def _rehearsed(agent: Agent, fails: bool, away: tuple[datetime, datetime] | None) -> Rehearsed:
    return Rehearsed(
        id=agent.id,
        name=agent.name,
        pull_ms=30_000,
        apply_ms=30_000,
        away=(away,) if away else (),
        fails=FailureClass.RELEASE if fails else None,
    )


def _run(world: World, clock: HeldClock, id: UUID, silent: Mapping[UUID, datetime]) -> None:
    for _ in range(MOST_STEPS):
        heard = [agent for agent in world.agents.values() if clock.at >= silent.get(agent.id, clock.at)]
        _heartbeats(world, heard)
        names = {agent.id.hex for agent in heard}
        while heeded := [each for each in world.tick() if each.host_id in names]:
            world.deliver(heeded)
        found = queries.rollout(world.db, id)
        live = any(host.state.live for host in found.hosts)
        if found.rollout.ended_at is not None or (found.rollout.holds and not live):
            return
        clock.move(seconds=STEP.total_seconds())
    raise AssertionError("the rollout does not end")


def _heartbeats(world: World, agents: Sequence[Agent]) -> None:
    world.take_all([world.good(agent, world.heartbeat()) for agent in agents])


def _summary(world: World, id: UUID) -> object:
    found = queries.rollout(world.db, id)
    touched = sorted(agent.name for agent in world.agents.values() if agent.recreated)
    waves = [(wave.state, dict(wave.counts)) for wave in found.waves]
    return found.rollout.state, found.rollout.holds, waves, touched


def _told(expected: Rehearsal) -> object:
    waves = [(wave.state, _without_nothing(wave.counts)) for wave in expected.waves]
    return expected.state, expected.holds, waves, list(expected.touched)


def _without_nothing(counts: Mapping[HostState, int]) -> dict[HostState, int]:
    return {state: count for state, count in Counter(counts).items() if count}
