"""What hosts measured of their mirrors decides who is asked first, where a policy says so."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from sqlalchemy import update

from fleet.history.mirrors import probes
from fleet.history.mirrors.speeds import measured_policies
from fleet.history.rules.policies import set_policy
from fleet.history.tables.facts import attempts
from fleet.history.tables.words import PolicyKind
from fleet.mirrors.probe import MirrorProbe, ProbeState
from fleet.mirrors.table import Strategy
from fleet.road.messages import Order, Probed
from tests.history.conftest import HeldClock
from tests.history.test_liars import LIAR
from tests.history.test_liars import pull as lying_pull
from tests.history.world import Agent, World, container

SLOW, QUICK = "https://slow.lan", "https://quick.lan"
LOOK = MirrorProbe(mirror=SLOW, registry="docker.io", state=ProbeState.OK)
POLICY = {"strategy": "fastest", "mirrors": [{"for": "docker.io", "url": url} for url in (SLOW, QUICK)]}


def policy_of(world: World, document: Mapping[str, object]) -> None:
    """Let *document* hold for the fleet."""
    set_policy(world.db, PolicyKind.FLEET, "", document, by="anna", door="cli")


def measure(world: World, agent: Agent, **speeds: int | None) -> None:
    """Let a host look at its mirrors, and tell how fast they are."""
    (request,) = probes.ask_probes(world.db, [agent.id], by="person:anna").values()
    found = [replace(LOOK, mirror=f"https://{name}.lan", bytes_per_s=speed) for name, speed in speeds.items()]
    world.take(agent, Probed(request=request, mirrors=tuple(found)))


def test_a_host_is_told_the_middle_of_what_it_measured_within_a_week(world: World, clock: HeldClock) -> None:
    """One bad evening, an old measurement, and what another host measured, change nothing."""
    policy_of(world, POLICY)
    agent, other = (world.add_host(name, container(name)) for name in ("web-1", "web-2"))
    measure(world, agent, quick=1)
    clock.move(days=8)
    measure(world, other, quick=3)
    for speed in (70, None, 2, 90):
        measure(world, agent, slow=10, quick=speed)
        clock.move(hours=24)
    found = {id: each.policy.speeds for id, each in measured_policies(world.db).items()}
    assert found == {agent.id: {SLOW: 10, QUICK: 70}, other.id: {QUICK: 3}}


def test_what_was_never_measured_is_left_out(world: World) -> None:
    policy_of(world, POLICY)
    agent = world.add_host("web-1", container("a"))
    measure(world, agent, slow=None)
    (held,) = measured_policies(world.db).values()
    assert (held.policy.speeds, held.policy.strategy) == ({}, Strategy.FASTEST)


def test_a_mirror_that_lied_lately_counts_as_not_measured(world: World, clock: HeldClock) -> None:
    """Whoever gives anything at all gives it fast; a day later it may be repaired."""
    policy_of(world, POLICY)
    agent = world.add_host("web-1", container("a"))
    agent.pulling = lying_pull
    measure(world, agent, slow=10)
    world.rollout()
    world.run()
    measure(world, agent, quick=90)
    with world.db.writing() as connection:
        connection.execute(update(attempts).values(mirror=QUICK).where(attempts.c.mirror == LIAR))
    (held,) = measured_policies(world.db).values()
    assert held.policy.speeds == {SLOW: 10}
    clock.move(days=2)
    (held,) = measured_policies(world.db).values()
    assert held.policy.speeds == {SLOW: 10, QUICK: 90}


@pytest.mark.parametrize("witnesses", [1, 2])
def test_one_host_alone_takes_no_mirror_from_the_others(witnesses: int, world: World) -> None:
    """What a host tells of a mirror may be made up; what two tell is believed."""
    policy_of(world, POLICY)
    for number in range(witnesses):
        world.add_host(f"witness-{number}", container("a")).pulling = lying_pull
    world.rollout()
    world.run()
    agent = world.add_host("other", container("a"))
    measure(world, agent, slow=10)
    measure(world, agent, quick=90)
    with world.db.writing() as connection:
        connection.execute(update(attempts).values(mirror=QUICK).where(attempts.c.mirror == LIAR))
    held = measured_policies(world.db)[agent.id]
    assert held.policy.speeds == ({SLOW: 10, QUICK: 90} if witnesses == 1 else {SLOW: 10})


def test_where_order_counts_nothing_is_told(world: World) -> None:
    policy_of(world, {"mirrors": POLICY["mirrors"]})
    agent = world.add_host("web-1", container("a"))
    measure(world, agent, quick=5)
    (held,) = measured_policies(world.db).values()
    assert (held.policy.speeds, held.policy.strategy) == (None, Strategy.ORDER)


def test_an_order_carries_them(world: World) -> None:
    """As they are when it is written."""
    policy_of(world, POLICY)
    agent = world.add_host("web-1", container("a"))
    measure(world, agent, slow=10, quick=20)
    world.rollout()
    (order,) = (each.message for each in world.until(Order) if isinstance(each.message, Order))
    assert order.policy.speeds == {SLOW: 10, QUICK: 20}
