"""One command from offer to receipt, by the rows that it leaves behind."""

from dataclasses import replace
from datetime import timedelta

import pytest

from fleet.history.questions import queries
from fleet.history.questions.queries import OutcomeFilter
from fleet.history.rollouts import tick
from fleet.history.tables.facts import attempts, commands, pulls, updates
from fleet.history.tables.inventory import hosts
from fleet.history.tables.road import outbox
from fleet.road.messages import Claim, Go, Offer, Order, Receipt, SendSnapshot
from fleet.rollouts.spec import RolloutSpec
from fleet.rollouts.states import CommandState, HostState, RolloutState
from fleet.updates.outcome import Result
from tests.history.conftest import HeldClock
from tests.history.world import GOOD_MIRROR, World, container, digest_of, rows


def test_a_rollout_goes_from_offer_to_receipt(world: World) -> None:
    agent = world.add_host("web-1", container("web"), container("api"))
    rollout_id = world.rollout()
    kinds = []
    for _ in range(6):
        sent = world.tick()
        kinds += [type(each.message) for each in sent]
        world.deliver(sent)
    assert kinds == [Offer, Order, Go, Receipt]
    assert agent.outcomes == {}
    assert len(agent.recreated) == 2
    found = queries.rollout(world.db, rollout_id)
    assert found.rollout.state is RolloutState.COMPLETED
    assert found.rollout.number == 1
    assert found.rollout.counts == {HostState.SUCCEEDED: 1}
    assert [row["state"] for row in rows(world.db, commands)] == [CommandState.DONE]
    assert rows(world.db, outbox) == []


def test_the_history_names_digests_mirror_and_who_asked(world: World) -> None:
    world.add_host("web-1", container("web"))
    world.rollout()
    world.run()
    (row,) = queries.outcomes(world.db, OutcomeFilter()).items
    assert (row.host, row.container, row.image) == ("web-1", "web", "docker.io/library/nginx:1.27")
    assert (row.old_digest, row.new_digest) == (digest_of("nginx:1.27 old"), digest_of("nginx:1.27 new"))
    assert (row.result, row.asked_by, row.mirror) == (Result.UPDATED, "person:anna", GOOD_MIRROR)
    assert (row.pull_ms, row.stop_ms, row.start_ms, row.downtime_ms) == (12, 3, None, 5)
    pull = queries.outcome(world.db, row.id).pull
    assert pull is not None
    assert [(each.mirror, each.result.value, each.bytes) for each in pull.attempts] == [
        ("http://dead.lan", "unreachable", 0),
        (GOOD_MIRROR, "served", 1000),
    ]


def test_two_containers_of_one_image_share_one_pull(world: World) -> None:
    world.add_host("web-1", container("web"), container("api"))
    world.rollout()
    world.run()
    assert len(rows(world.db, pulls)) == 1
    assert len(rows(world.db, attempts)) == 2
    assert len({row["pull_id"] for row in rows(world.db, updates)}) == 1


def test_a_message_whose_sender_died_is_due_again_as_one_that_was_lost_on_its_way(
    world: World, clock: HeldClock
) -> None:
    world.add_host("web-1", container("web"))
    rollout_id = world.rollout()
    offers = tick.advance_rollout(world.db, rollout_id).offers
    assert [type(each.message) for each in offers] == [Offer]
    clock.move(seconds=59)
    assert tick.due_messages(world.db) == []
    clock.move(seconds=1)
    assert [type(each.message) for each in tick.due_messages(world.db)] == [Offer]


def test_a_message_that_could_not_be_sent_is_due_again_soon_and_does_not_count(world: World, clock: HeldClock) -> None:
    agent = world.add_host("web-1", container("web"))
    rollout_id = world.rollout()
    world.take(agent, world.heartbeat("another snapshot"))
    unsent = [*tick.advance_rollout(world.db, rollout_id).offers, *tick.due_messages(world.db)]
    for _ in range(5):
        assert {type(each.message) for each in unsent} == {Offer, SendSnapshot}
        tick.put_back(world.db, unsent)
        clock.move(seconds=29)
        assert tick.due_messages(world.db) == []
        clock.move(seconds=1)
        unsent = tick.due_messages(world.db)
    (offer,) = [each for each in unsent if isinstance(each.message, Offer)]
    clock.move(seconds=60)
    (row,) = rows(world.db, commands)
    assert (row["sent"], row["sent_at"], row["due_at"]) == (1, clock.at - timedelta(seconds=60), clock.at)
    assert isinstance(offer.message, Offer)


def test_what_moved_while_it_was_sent_is_not_put_back(world: World, clock: HeldClock) -> None:
    agent = world.add_host("web-1", container("web"))
    rollout_id = world.rollout()
    sent = tick.advance_rollout(world.db, rollout_id).offers
    (message,) = [each.message for each in sent]
    assert isinstance(message, Offer)
    world.take(agent, Claim(command=message.command))
    tick.put_back(world.db, sent)
    (row,) = rows(world.db, commands)
    assert (row["state"], row["due_at"]) == (CommandState.CLAIMED, clock.at)


def test_an_offer_that_was_sent_is_repeated_more_and_more_seldom(world: World, clock: HeldClock) -> None:
    world.add_host("web-1", container("web"))
    world.rollout()
    sent = []
    for _ in range(20):
        sent.append(len(world.tick()))
        clock.move(seconds=30)
    assert sent[:8] == [1, 0, 1, 0, 0, 0, 1, 0]


@pytest.mark.parametrize(
    ("results", "state"),
    [
        ((Result.UPDATED, Result.ALREADY_CURRENT), HostState.SUCCEEDED),
        ((Result.UPDATED, Result.SKIPPED), HostState.SUCCEEDED),
        ((Result.SKIPPED, Result.SKIPPED), HostState.SKIPPED),
        ((Result.UPDATED, Result.ROLLED_BACK), HostState.FAILED),
        ((Result.ABANDONED, Result.SKIPPED), HostState.FAILED),
    ],
)
def test_the_outcomes_decide_where_the_host_stands(
    world: World, results: tuple[Result, Result], state: HostState
) -> None:
    agent = world.add_host("web-1", container("web"), container("api"))
    rollout_id = world.rollout()
    world.until(Go)
    (order,) = agent.orders.values()
    outcomes = [agent.outcome(order, t.update_id, result) for t, result in zip(order.targets, results, strict=True)]
    world.take(agent, outcomes[0])
    (half,) = queries.rollout(world.db, rollout_id).hosts
    assert half.state is HostState.APPLYING
    world.take(agent, outcomes[1])
    (host,) = queries.rollout(world.db, rollout_id).hosts
    assert host.state is state
    assert host.reason == ("" if state is HostState.SUCCEEDED else "cannot do it")


def test_a_silent_host_is_not_offered_anything(world: World, clock: HeldClock) -> None:
    agent = world.add_host("web-1", container("web"))
    clock.move(minutes=16)
    rollout_id = world.rollout()
    assert world.tick() == []
    (host,) = queries.rollout(world.db, rollout_id).hosts
    assert host.state is HostState.PENDING
    world.take(agent, world.heartbeat())
    assert [type(each.message) for each in world.tick()] == [Offer]


def test_one_host_has_one_live_try_over_all_rollouts(world: World) -> None:
    world.add_host("web-1", container("web"))
    first, second = world.rollout(), world.rollout()
    assert len(world.tick()) == 1
    states = {id: queries.rollout(world.db, id).hosts[0].state for id in (first, second)}
    assert states == {first: HostState.DISPATCHED, second: HostState.PENDING}


def test_no_more_hosts_are_live_than_the_rollout_allows(world: World) -> None:
    for number in range(4):
        world.add_host(f"web-{number}", container("web"))
    rollout_id = world.rollout(spec=RolloutSpec(max_parallel=2))
    sent = world.tick()
    assert len(sent) == 2
    assert queries.rollout(world.db, rollout_id).rollout.counts == {HostState.DISPATCHED: 2, HostState.PENDING: 2}
    world.deliver(sent)
    world.run(ticks=20)
    assert queries.rollout(world.db, rollout_id).rollout.counts == {HostState.SUCCEEDED: 4}


def test_hosts_are_seen_by_the_centres_clock(world: World, clock: HeldClock) -> None:
    agent = world.add_host("web-1", container("web"))
    clock.move(minutes=1)
    late = world.heartbeat().model_copy(update={"host_time": clock.at.replace(year=2031)})
    world.take(agent, late)
    (row,) = rows(world.db, hosts)
    assert row["last_seen_at"] == clock.at
    assert row["skew_ms"] == (clock.at.replace(year=2031) - clock.at).total_seconds() * 1000


def test_a_message_of_the_outbox_is_leased_and_repeated_until_it_was_sent(world: World, clock: HeldClock) -> None:
    agent = world.add_host("web-1", container("web"))
    world.take(agent, world.heartbeat("another snapshot"))
    first = tick.due_messages(world.db)
    assert [type(each.message) for each in first] == [SendSnapshot]
    assert tick.due_messages(world.db) == []
    clock.move(seconds=31)
    again = tick.due_messages(world.db)
    assert again == first
    tick.mark_sent(world.db, again)
    clock.move(seconds=31)
    assert tick.due_messages(world.db) == []


def test_a_receipt_that_could_not_be_sent_is_due_again_soon(world: World, clock: HeldClock) -> None:
    """It counts as sent once it was handed out, and so it is written anew."""
    world.add_host("web-1", container("web"))
    world.rollout()
    world.deliver(world.until(Go))
    (receipt,) = tick.due_messages(world.db)
    assert isinstance(receipt.message, Receipt)
    assert receipt.message.ids
    tick.put_back(world.db, [receipt])
    assert tick.due_messages(world.db) == []
    clock.move(seconds=31)
    assert [(each.host_id, each.message) for each in tick.due_messages(world.db)] == [
        (receipt.host_id, receipt.message)
    ]


def test_a_receipt_that_was_lost_on_its_way_is_written_anew_for_the_outcome_that_is_said_again(world: World) -> None:
    """Nothing is kept of it: until it comes, its host says the outcome again, which changes nothing but that."""
    agent = world.add_host("web-1", container("web"))
    world.rollout()
    world.deliver(world.until(Go))
    (lost,) = tick.due_messages(world.db)
    told = rows(world.db, updates)
    assert rows(world.db, outbox) == []
    for message in (world.good(agent, next(iter(agent.outcomes.values()))),) * 2:
        world.take_all([message])
        assert [each.message for each in tick.due_messages(world.db)] == [lost.message]
    assert rows(world.db, updates) == told


def test_a_container_that_its_host_only_emulates_keeps_its_platform_and_has_a_pull_of_its_own(world: World) -> None:
    foreign = replace(container("foreign"), platform="linux/arm64")
    variant = replace(container("variant"), platform="linux/amd64/v3")
    world.add_host("web-1", container("own"), foreign, variant)
    world.rollout()
    (sent,) = world.until(Order)
    assert isinstance(sent.message, Order)
    assert {each.container: each.platform for each in sent.message.targets} == {
        "own": "",
        "foreign": "linux/arm64",
        "variant": "",
    }
    assert len(sent.message.pull_ids) == 2
    world.deliver([sent])
    world.run()
    assert {(row["digest"], row["ok"]) for row in rows(world.db, pulls)} == {(digest_of("nginx:1.27 new"), True)}
    assert {row["container"]: row["result"] for row in rows(world.db, updates)} == {
        "own": "updated",
        "foreign": "updated",
        "variant": "updated",
    }
