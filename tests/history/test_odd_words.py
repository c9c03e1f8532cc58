"""What one host tells of its containers, be it no platform or no digest, keeps no other host from its update."""

from dataclasses import replace

import pytest
from sqlalchemy import update

from fleet.history.inbox.snapshots import MOST_DIGESTS, MOST_LABEL_SIGNS, MOST_LABELS
from fleet.history.rollouts import people
from fleet.history.tables.facts import updates
from fleet.history.tables.inventory import container_digests, containers
from fleet.road.messages import Order
from tests.history.world import BY, World, container, digest_of, rows


@pytest.mark.parametrize("odd", ["linux/a/b/c", "linux/", "linux/a\n\x1b[31m", "s390x"])
def test_a_platform_that_is_none_stops_no_dispatch(odd: str, world: World) -> None:
    world.add_host("honest", container("web"))
    world.add_host("odd", replace(container("web"), platform=odd))
    world.rollout()
    sent = [each.message for each in world.until(Order) if isinstance(each.message, Order)]
    assert [each.platform for message in sent for each in message.targets] == ["", ""]


@pytest.mark.parametrize("odd", ["nonsense", "sha256:" + "g" * 64, "sha256:\x1b[31m", ""])
def test_a_digest_that_is_none_stops_no_dispatch(odd: str, world: World) -> None:
    world.add_host("honest", container("web"))
    world.add_host("odd", replace(container("web"), digests=(odd,)))
    world.rollout()
    sent = [each.message for each in world.until(Order) if isinstance(each.message, Order)]
    assert len(sent) == 2
    assert sorted(each.old_digest for message in sent for each in message.targets)[0] == ""


def test_a_reference_of_any_length_stops_no_dispatch(world: World) -> None:
    long = f"registry.example/{'/'.join(['x' * 60] * 4)}:{'t' * 128}"
    world.add_host("honest", container("web"))
    world.add_host("odd", replace(container("web"), reference=long))
    world.rollout()
    assert [each.message.command for each in world.until(Order) if isinstance(each.message, Order)]


@pytest.mark.parametrize("odd", ["nonsense", "sha256:" + "g" * 64, "sha256:\x1b[31m"])
@pytest.mark.parametrize("kept", ["by this release", "by an earlier release"])
def test_what_a_host_says_that_it_ran_before_stops_no_way_back_of_others(odd: str, kept: str, world: World) -> None:
    world.add_host("honest", container("web"))
    evil = world.add_host("odd", container("web"))
    id = world.rollout()
    sent = world.until(Order)
    world.deliver(sent)
    for agent in world.agents.values():
        (order,) = agent.orders.values()
        outcome = agent.outcome(order, order.targets[0].update_id)
        if agent is evil and kept == "by this release":
            outcome = outcome.model_copy(update={"outcome": replace(outcome.outcome, old_digest=odd)})
        world.take(agent, outcome)
    world.run()
    if kept == "by an earlier release":
        with world.db.writing() as connection:
            connection.execute(update(updates).where(updates.c.host_id == evil.id).values(old_digest=odd))
    assert people.undo_rollout(world.db, id, **BY) is not None
    ordered = [each.message for each in world.until(Order) if isinstance(each.message, Order)]
    targets = [target for order in ordered for target in order.targets]
    old = digest_of("nginx:1.27 old")
    assert [target.digest for target in targets] == [old] * (2 if kept == "by this release" else 1)


def test_of_a_digest_that_is_none_the_history_keeps_what_was_asked(world: World) -> None:
    world.add_host("odd", container("web"))
    world.rollout()
    world.deliver(world.until(Order))
    (agent,) = world.agents.values()
    (order,) = agent.orders.values()
    outcome = agent.outcome(order, order.targets[0].update_id)
    lie = replace(outcome.outcome, old_digest="nonsense", new_digest="nonsense")
    world.take(agent, outcome.model_copy(update={"outcome": lie}))
    (row,) = rows(world.db, updates)
    assert (row["old_digest"], row["new_digest"]) == (digest_of("nginx:1.27 old"), order.targets[0].digest)


def test_one_container_has_so_many_digests_and_labels_and_no_more(world: World) -> None:
    """One message holds a hundred thousand of them, and each would be a row."""
    own = container("web")
    many = tuple(digest_of(str(number)) for number in range(3 * MOST_DIGESTS))
    labels = {f"fleet.{number}": "x" for number in range(3 * MOST_LABELS)}
    world.add_host("odd", replace(own, digests=(*own.digests, *many), labels=labels))
    (row,) = rows(world.db, containers)
    assert (len(row["digests"]), len(row["labels"])) == (MOST_DIGESTS, MOST_LABELS)
    assert len(rows(world.db, container_digests)) == MOST_DIGESTS
    assert row["digests"][0] == own.digests[0]


def test_the_labels_of_one_container_are_so_long_and_no_longer(world: World) -> None:
    labels = {f"fleet.{number}": "x" * 5000 for number in range(MOST_LABELS)}
    world.add_host("odd", replace(container("web"), labels={"fleet.first": "1", **labels}))
    (row,) = rows(world.db, containers)
    assert row["labels"]["fleet.first"] == "1"
    assert sum(len(key) + len(text) for key, text in row["labels"].items()) <= MOST_LABEL_SIGNS
