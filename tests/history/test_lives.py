"""Two machines that say that they are one host: the agent that claimed is the only one that acts, and rivals are refused."""

from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import update

from fleet.controller.conditions import active
from fleet.history.commands.lives import ECHO
from fleet.history.inventory import hosts
from fleet.history.rollouts.tick import Outgoing
from fleet.history.rules.refusing import refused_hosts
from fleet.history.tables.facts import commands
from fleet.history.tables.inventory import hosts as hosts_table
from fleet.road.messages import Claim, Go, HostFacts, Offer, Order, Ready, Up
from fleet.rollouts.states import CommandState
from tests.history.conftest import HeldClock
from tests.history.world import BY, Agent, World, container, rows


@pytest.fixture
def agent(world: World) -> Agent:
    """A host with one container, and a rollout for it."""
    agent = world.add_host("web-1", container("web"))
    world.rollout()
    return agent


def say(world: World, agent: Agent, life: UUID, *messages: Up) -> None:
    """Let the agent of that life say something, or that it lives."""
    world.take(agent, *(each.of_life(life) for each in messages or (world.heartbeat(),)))


def command(world: World) -> UUID:
    """Return the id of the only command."""
    (row,) = rows(world.db, commands)
    return UUID(str(row["id"]))


def bound(sent: Iterable[Outgoing], kind: type[Order] | type[Go]) -> list[UUID | None]:
    """Return to which lives the messages of one kind are bound."""
    return [each.message.life for each in sent if isinstance(each.message, kind)]


def ready(order: Outgoing, agent: Agent) -> Ready:
    """Return that the bytes of an order are there."""
    (said,) = agent.hear(order.message)
    assert isinstance(said, Ready)
    return said


def codes(world: World) -> list[tuple[str, str]]:
    """Return the conditions about two agents."""
    wanted = ("two-agents", "duplicate-engine", "login-refused")
    return [(each.code, each.subject) for each in active(world.db) if each.code in wanted]


def test_an_order_and_a_go_are_for_the_agent_that_claimed(world: World, agent: Agent) -> None:
    life = uuid4()
    assert [type(each.message) for each in world.tick()] == [Offer]
    say(world, agent, life, Claim(command=command(world)))
    (order,) = world.tick()
    assert bound([order], Order) == [life]
    say(world, agent, life, ready(order, agent))
    assert bound(world.tick(), Go) == [life]


def test_an_agent_of_the_first_version_is_bound_to_nothing(world: World, agent: Agent) -> None:
    world.deliver(world.tick())
    sent = world.tick()
    assert bound(sent, Order) == [None]
    assert all(each.message.v == 1 for each in sent)


def test_an_agent_that_was_started_again_gets_what_the_last_one_had(world: World, agent: Agent) -> None:
    first, second = uuid4(), uuid4()
    world.tick()
    say(world, agent, first, Claim(command=command(world)))
    (order,) = world.tick()
    say(world, agent, second, world.heartbeat(claims=[command(world)]))
    assert bound(world.tick(), Order) == [second]
    say(world, agent, second, ready(order, agent))
    world.tick()
    third = uuid4()
    say(world, agent, third, world.heartbeat(ready=[command(world)]))
    assert bound(world.tick(), Go) == [third]


def test_what_a_dead_agent_said_and_its_machine_sent_late_moves_nothing_and_accuses_nobody(
    world: World, agent: Agent, clock: HeldClock
) -> None:
    first, second = uuid4(), uuid4()
    world.tick()
    say(world, agent, first)
    say(world, agent, second)
    clock.at += ECHO - timedelta(seconds=1)
    say(world, agent, first, Claim(command=command(world)))
    assert rows(world.db, commands)[0]["state"] == CommandState.OFFERED
    assert codes(world) == []


def rivals(world: World, agent: Agent, clock: HeldClock) -> tuple[UUID, UUID]:
    """Let two agents of the host live at once."""
    first, second = uuid4(), uuid4()
    say(world, agent, first)
    say(world, agent, second)
    clock.at += ECHO + timedelta(seconds=1)
    say(world, agent, first)
    return first, second


def test_two_that_take_turns_are_told_and_nothing_is_sent_to_either(
    world: World, agent: Agent, clock: HeldClock
) -> None:
    world.tick()
    lives = rivals(world, agent, clock)
    assert codes(world) == [("two-agents", "web-1")]
    for life in lives:
        say(world, agent, life, Claim(command=command(world)))
        say(world, agent, life, world.heartbeat(claims=[command(world)]))
    assert rows(world.db, commands)[0]["state"] == CommandState.OFFERED
    clock.move(minutes=2)
    assert not [each for each in world.tick() if isinstance(each.message, Offer | Order | Go)]


def test_a_host_that_two_agents_speak_as_is_said_to_be_refused_with_what_to_do(
    world: World, agent: Agent, clock: HeldClock
) -> None:
    rivals(world, agent, clock)
    (why,) = refused_hosts(world.db).values()
    assert why.startswith("cannot send anything to web-1: two agents speak as it;")
    assert "fleet host rejoin web-1" in why


def test_a_rollout_waits_for_a_host_that_is_refused_and_goes_on_when_it_joined_again(
    world: World, clock: HeldClock
) -> None:
    agent = world.add_host("web-1", container("web"))
    rivals(world, agent, clock)
    world.rollout()
    assert world.tick() == []
    hosts.rejoin_host(world.db, "web-1", public_key="k", kid="another", password_sha256="bb", **BY)
    assert codes(world) == []
    say(world, agent, uuid4())
    assert [type(each.message) for each in world.tick()] == [Offer]


def test_one_that_had_its_go_is_not_told_again_once_there_are_two(world: World, agent: Agent, clock: HeldClock) -> None:
    first, second = uuid4(), uuid4()
    world.tick()
    say(world, agent, first, Claim(command=command(world)))
    (order,) = world.tick()
    say(world, agent, first, ready(order, agent))
    assert bound(world.tick(), Go) == [first]
    say(world, agent, second)
    clock.at += ECHO + timedelta(seconds=1)
    say(world, agent, first)
    for life in (first, second):
        say(world, agent, life, world.heartbeat(ready=[command(world)]))
    assert bound(world.tick(), Go) == []
    # What it did is taken down all the same.
    (update,) = agent.hear(Go(command=command(world)))
    say(world, agent, first, update)
    assert rows(world.db, commands)[0]["state"] == CommandState.DONE


def on_engine(world: World, engine: str) -> Up:
    """Return the heartbeat of a host with this engine."""
    facts = HostFacts(agent_version="0.1.0", engine_id=engine, os="linux", architecture="amd64")
    return world.heartbeat().model_copy(update={"facts": facts})


def test_of_two_hosts_with_one_engine_only_the_first_is_updated(world: World) -> None:
    first, second = (world.add_host(name, container("web")) for name in ("web-1", "web-2"))
    for agent in (first, second):
        world.take(agent, on_engine(world, "E"))
    world.rollout()
    assert {each.host_id for each in world.tick()} == {first.id.hex}
    assert codes(world) == [("duplicate-engine", "web-1, web-2")]
    hosts.remove_host(world.db, "web-1", **BY)
    assert {each.host_id for each in world.tick() if isinstance(each.message, Offer)} == {second.id.hex}


def test_who_names_the_engine_of_another_stops_it_by_nothing(world: World, clock: HeldClock) -> None:
    """Be it that it was added long before: else one host that was taken over would stop any other."""
    evil, victim = (world.add_host(name, container("web")) for name in ("web-1", "web-2"))
    world.take(evil, on_engine(world, "of its own"))
    world.take(victim, on_engine(world, "E"))
    clock.move(minutes=5)
    for named in ("E", "of its own", "E"):
        world.take(evil, on_engine(world, named))
        world.take(victim, on_engine(world, ""), on_engine(world, "E"))
        clock.move(minutes=5)
    assert list(refused_hosts(world.db)) == [evil.id]
    world.rollout()
    assert {each.host_id for each in world.tick()} == {victim.id.hex}


def test_of_hosts_that_told_of_an_engine_before_that_was_kept_the_first_has_it(world: World, clock: HeldClock) -> None:
    agents = [world.add_host(name, container("web")) for name in ("web-1", "web-2", "web-3")]
    for agent in reversed(agents):
        world.take(agent, on_engine(world, "E"))
        clock.move(minutes=5)
    with world.db.writing() as connection:
        connection.execute(update(hosts_table).where(hosts_table.c.name != "web-3").values(engine_since=None))
    assert set(refused_hosts(world.db)) == {agents[1].id, agents[2].id}


def test_a_command_that_was_begun_is_called_off_when_the_twin_is_seen(world: World) -> None:
    world.add_host("web-1", container("web"))
    second = world.add_host("web-2", container("web"))
    world.take(world.agents[hosts.host(world.db, "web-1").id.hex], on_engine(world, "E"))
    world.rollout("web-2")
    assert [type(each.message) for each in world.tick()] == [Offer]
    world.take(second, on_engine(world, "E"), Claim(command=command(world)))
    assert not [each for each in world.tick() if isinstance(each.message, Order)]
    assert rows(world.db, commands)[0]["state"] == CommandState.CANCELLED
