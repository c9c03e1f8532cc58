"""What passes its deadline, what comes late, and what a person holds or stops."""

from datetime import timedelta

import pytest

from fleet.errors import NotFound, Refused
from fleet.history.questions import queries
from fleet.history.questions.queries import RolloutHostRow
from fleet.history.rollouts import people as rollouts
from fleet.history.rollouts import tick
from fleet.history.tables.facts import commands, rollout_events, updates
from fleet.ids import new_id
from fleet.road.messages import Cancel, Claim, Go, Offer, Order, Ready
from fleet.rollouts.spec import RolloutSpec, TrySpec
from fleet.rollouts.states import CommandState, HostState, RolloutState
from fleet.updates.outcome import Result
from tests.history.conftest import HeldClock
from tests.history.world import BY, World, container, rows


def _host(world: World) -> RolloutHostRow:
    return queries.rollout(world.db, 1).hosts[0]


def test_an_offer_that_nobody_hears_costs_no_try(world: World, clock: HeldClock) -> None:
    agent = world.add_host("web-1", container("web"))
    world.rollout()
    world.tick()
    clock.move(minutes=11)
    world.take(agent, world.heartbeat())
    sent = world.tick()
    assert {type(each.message) for each in sent} == {Cancel, Offer}
    assert (_host(world).state, _host(world).tries) == (HostState.DISPATCHED, 0)
    assert [row["state"] for row in sorted(rows(world.db, commands), key=lambda r: r["id"])] == ["expired", "offered"]


def test_a_pull_out_of_time_is_tried_again_after_a_wait_and_then_failed(world: World, clock: HeldClock) -> None:
    agent = world.add_host("web-1", container("web"))
    world.rollout(spec=RolloutSpec(tries=TrySpec(max=2, backoff_ms=60_000)))
    world.until(Order)
    clock.move(minutes=62)
    world.take(agent, world.heartbeat())
    assert [type(each.message) for each in world.tick()] == [Cancel]
    assert (_host(world).state, _host(world).tries) == (HostState.PENDING, 1)
    clock.move(seconds=76)
    world.until(Order)
    clock.move(minutes=62)
    world.tick()
    assert (_host(world).state, _host(world).tries) == (HostState.FAILED, 2)
    assert _host(world).reason.startswith("cannot")
    assert queries.rollout(world.db, 1).rollout.state is RolloutState.COMPLETED_WITH_FAILURES


def test_a_late_outcome_corrects_a_try_that_was_given_up(world: World, clock: HeldClock) -> None:
    agent = world.add_host("web-1", container("web"))
    other = world.add_host("web-2", container("web"))
    world.rollout()
    sent = world.until(Go)
    clock.move(minutes=17)
    world.tick()
    states = {host.host: host.state for host in queries.rollout(world.db, 1).hosts}
    assert states == {"web-1": HostState.FAILED, "web-2": HostState.FAILED}
    agent.result = Result.UPDATED
    other.result = Result.ROLLED_BACK
    world.deliver([each for each in sent if isinstance(each.message, Go)])
    states = {host.host: host.state for host in queries.rollout(world.db, 1).hosts}
    assert states == {"web-1": HostState.SUCCEEDED, "web-2": HostState.FAILED}
    assert {row["result"] for row in rows(world.db, updates)} == {"updated", "rolled_back"}
    assert {row["state"] for row in rows(world.db, commands)} == {"expired"}
    assert queries.rollout(world.db, 1).rollout.state is RolloutState.COMPLETED_WITH_FAILURES


def test_a_late_outcome_says_nothing_about_a_later_try(world: World, clock: HeldClock) -> None:
    agent = world.add_host("web-1", container("web"))
    world.rollout()
    world.deliver(world.until(Order))
    (order,) = agent.orders.values()
    clock.move(minutes=62)
    world.take(agent, world.heartbeat())
    world.tick()
    clock.move(seconds=76)
    assert [type(each.message) for each in world.tick()] == [Offer]
    world.take(agent, agent.outcome(order, order.targets[0].update_id, Result.FAILED))
    assert _host(world).state is HostState.DISPATCHED
    assert len(rows(world.db, updates)) == 1


def test_an_outcome_after_the_pull_was_given_up_ends_a_host_that_runs_what_it_should(
    world: World, clock: HeldClock
) -> None:
    agent = world.add_host("web-1", container("web"))
    world.rollout()
    world.deliver(world.until(Order))
    (order,) = agent.orders.values()
    clock.move(minutes=62)
    world.tick()
    world.take(agent, agent.outcome(order, order.targets[0].update_id, Result.ALREADY_CURRENT))
    assert _host(world).state is HostState.SUCCEEDED


def test_a_claim_is_answered_by_a_cancel_where_the_command_is_over_or_unknown(world: World, clock: HeldClock) -> None:
    agent, other = world.add_host("web-1", container("web")), world.add_host("web-2", container("web"))
    world.rollout("web-1")
    (offer,) = world.tick()
    assert isinstance(offer.message, Offer)
    unknown = new_id()
    world.take(agent, Claim(command=unknown), Ready(command=unknown, pulls=()))
    world.take(other, Claim(command=offer.message.command))
    sent = [(each.host_id, each.message) for each in world.tick()]
    assert sorted((id, m.command) for id, m in sent if isinstance(m, Cancel)) == sorted(
        [(agent.id.hex, unknown), (other.id.hex, offer.message.command)]
    )
    clock.move(minutes=11)
    world.tick()
    world.take(agent, Claim(command=offer.message.command))
    assert offer.message.command in {e.message.command for e in world.tick() if isinstance(e.message, Cancel)}


@pytest.mark.parametrize("kind", [Offer, Order, Go])
def test_a_held_rollout_sends_nothing_and_goes_on_when_released(world: World, clock: HeldClock, kind: type) -> None:
    """The hold comes at the last moment: the message is due, and must not go out."""
    agent = world.add_host("web-1", container("web"))
    rollout_id = world.rollout()
    offers = tick.advance_rollout(world.db, rollout_id).offers
    if kind is Offer:
        tick.put_back(world.db, offers)
        clock.move(seconds=31)
    else:
        world.deliver(offers)
    while kind is not Offer and not (kind is Order and _state(world) == "claimed") and _state(world) != "ready":
        world.deliver(world.tick())
    rollouts.hold_rollout(world.db, rollout_id, reason="look first", **BY)
    sent = world.tick()
    assert not any(isinstance(each.message, Offer | Order | Go) for each in sent)
    assert (_host(world).state, _host(world).tries) == (HostState.PENDING, 0)
    world.deliver(sent)
    assert world.tick() == []
    rollouts.release_rollout(world.db, rollout_id, **BY)
    world.run()
    assert _host(world).state is HostState.SUCCEEDED
    assert len(agent.recreated) == 1


def _state(world: World) -> str:
    return str(rows(world.db, commands)[0]["state"])


def test_a_hold_lets_a_pull_go_on_and_stops_it_before_the_go(world: World) -> None:
    world.add_host("web-1", container("web"))
    rollout_id = world.rollout()
    sent = world.until(Order)
    rollouts.hold_rollout(world.db, rollout_id, **BY)
    assert world.tick() == []
    assert _host(world).state is HostState.PULLING
    world.deliver(sent)
    assert [type(each.message) for each in world.tick()] == [Cancel]
    assert _host(world).state is HostState.PENDING


def test_an_aborted_rollout_lets_end_what_was_released_and_calls_off_the_rest(world: World) -> None:
    for number in range(4):
        world.add_host(f"web-{number}", container("web"))
    rollout_id = world.rollout(spec=RolloutSpec(max_parallel=3))
    offers = world.tick()
    world.deliver(offers[:2])
    orders = world.tick()
    world.deliver(orders[:1])
    (go,) = world.tick()
    assert isinstance(go.message, Go)
    states = sorted(host.state for host in queries.rollout(world.db, rollout_id).hosts)
    assert states == ["applying", "dispatched", "pending", "pulling"]
    rollouts.abort_rollout(world.db, rollout_id, reason="wrong tag", **BY)
    sent = world.tick()
    assert [type(each.message) for each in sent] == [Cancel, Cancel]
    found = queries.rollout(world.db, rollout_id).rollout
    assert found.counts == {HostState.APPLYING: 1, HostState.CANCELLED: 3}
    assert found.state is RolloutState.ABORTING
    world.deliver([*sent, go])
    world.tick()
    found = queries.rollout(world.db, rollout_id).rollout
    assert found.counts == {HostState.SUCCEEDED: 1, HostState.CANCELLED: 3}
    assert found.state is RolloutState.ABORTED
    with pytest.raises(Refused, match="aborted"):
        rollouts.hold_rollout(world.db, rollout_id, **BY)


def test_an_unknown_rollout_cannot_be_held(world: World) -> None:
    with pytest.raises(NotFound):
        rollouts.hold_rollout(world.db, new_id(), **BY)


def test_a_go_is_repeated_to_a_host_that_says_again_that_it_is_ready(world: World) -> None:
    agent = world.add_host("web-1", container("web"))
    world.rollout()
    (go,) = world.until(Go)
    assert isinstance(go.message, Go)
    assert world.tick() == []
    world.take(agent, world.heartbeat(ready=[go.message.command]))
    assert [type(each.message) for each in world.tick()] == [Go]


def test_an_order_is_repeated_to_a_host_that_claims_again(world: World) -> None:
    agent = world.add_host("web-1", container("web"))
    world.rollout()
    (order,) = world.until(Order)
    assert isinstance(order.message, Order)
    assert world.tick() == []
    world.take(agent, world.heartbeat(claims=[order.message.command]))
    (again,) = world.tick()
    assert again.message == order.message


def test_a_stale_heartbeat_changes_nothing(world: World) -> None:
    agent = world.add_host("web-1", container("web"))
    world.rollout()
    (offer,) = world.tick()
    assert isinstance(offer.message, Offer)
    id = offer.message.command
    world.deliver([offer])
    world.run()
    before = [(row["state"], row["changed_at"]) for row in rows(world.db, commands)]
    world.take(agent, world.heartbeat(claims=[id], ready=[id]))
    sent = world.tick()
    assert [type(each.message) for each in sent] == [Cancel]
    world.deliver(sent)
    assert [(row["state"], row["changed_at"]) for row in rows(world.db, commands)] == before
    assert _host(world).state is HostState.SUCCEEDED


def test_a_rollout_expires_and_withdraws_who_waits(world: World, clock: HeldClock) -> None:
    world.add_host("web-1", container("web"), heard=False)
    agent = world.add_host("web-2", container("web"))
    world.rollout(spec=RolloutSpec(expires_ms=int(timedelta(hours=1) / timedelta(milliseconds=1))))
    clock.move(hours=2)
    world.take(agent, world.heartbeat())
    assert world.tick() == []
    found = queries.rollout(world.db, 1)
    assert found.rollout.state is RolloutState.EXPIRED
    assert {host.state for host in found.hosts} == {HostState.CANCELLED}


def test_the_events_of_a_host_replay_to_its_state(world: World) -> None:
    world.add_host("web-1", container("web"))
    world.rollout()
    world.run()
    events = sorted(rows(world.db, rollout_events), key=lambda row: row["id"])
    kinds = [row["kind"] for row in events if row["host_id"] is None]
    assert kinds == ["planned", "began", "wave opened", "wave ended", "ended"]
    states = [row["details"]["state"] for row in events if row["host_id"] is not None]
    assert states == ["dispatched", "pulling", "ready", "applying", "succeeded"]


def test_a_command_is_done_once_whatever_is_repeated(world: World) -> None:
    agent = world.add_host("web-1", container("web"))
    world.rollout()
    said = []
    for _ in range(5):
        sent = world.tick()
        messages = [world.good(agent, up) for each in sent for up in agent.hear(each.message)]
        said += messages
        world.take_all(messages)
        world.take_all(messages)
        world.take_all(said)
    assert len(rows(world.db, updates)) == 1
    assert len(agent.recreated) == 1
    assert [row["state"] for row in rows(world.db, commands)] == [CommandState.DONE]
