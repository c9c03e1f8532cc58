"""Freezes, holds, snoozes and skips: what people said shall not be updated is not, whatever was planned before."""

from datetime import timedelta
from uuid import UUID

import pytest

from fleet.errors import BadInput, NotFound, Refused
from fleet.history.inventory import hosts
from fleet.history.noted import audit
from fleet.history.questions import queries
from fleet.history.rules import stops
from fleet.history.sql.database import Database
from fleet.history.tables.facts import commands
from fleet.road.messages import Cancel, Go, Offer, Order, Ready
from fleet.rollouts.selector import Selector
from fleet.rollouts.states import HostState, RolloutState
from fleet.rollouts.stops import StopKind
from tests.history.conftest import HeldClock
from tests.history.world import BY, World, container, digest_of, rows

NEW = digest_of("nginx:1.27 new")


def states(world: World, rollout: UUID) -> dict[str, HostState]:
    """Return where each host stands."""
    return {host.host: host.state for host in queries.rollout(world.db, rollout).hosts}


def freeze(world: World, selector: Selector = Selector(), **more: object) -> stops.StopRow:  # noqa: B008
    """Freeze hosts."""
    return stops.create_stop(world.db, StopKind.FREEZE, selector, reason="Black Friday", **BY, **more)  # type: ignore[arg-type]


def test_a_frozen_fleet_is_sent_nothing_until_the_freeze_is_lifted(world: World) -> None:
    world.add_host("web-1", container("app"))
    stop = freeze(world)
    rollout = world.rollout()
    assert [world.tick() for _ in range(3)] == [[], [], []]
    assert states(world, rollout) == {"web-1": HostState.PENDING}
    stops.lift_stop(world.db, stop.id, **BY)
    world.run()
    assert states(world, rollout) == {"web-1": HostState.SUCCEEDED}


def test_a_freeze_ends_by_itself(world: World, clock: HeldClock) -> None:
    world.add_host("web-1", container("app"))
    freeze(world, ends_at=clock.now() + timedelta(minutes=10))
    rollout = world.rollout()
    assert world.tick() == []
    clock.move(minutes=10)
    world.run()
    assert queries.rollout(world.db, rollout).rollout.state is RolloutState.COMPLETED
    assert stops.stops(world.db) == []


@pytest.mark.parametrize(
    "selector", [Selector(hosts=("web-?",)), Selector(labels={"site": "ber*"}), Selector(hosts=("web-1",))]
)
def test_a_freeze_takes_the_hosts_that_it_names_and_no_other(world: World, selector: Selector) -> None:
    world.add_host("web-1", container("app"))
    world.add_host("webb1", container("app"))
    hosts.label_host(world.db, "web-1", labels={"site": "berlin"}, **BY)
    freeze(world, selector)
    rollout = world.rollout()
    world.run()
    assert states(world, rollout) == {"web-1": HostState.PENDING, "webb1": HostState.SUCCEEDED}


@pytest.mark.parametrize("sign", ["%", "_"])
def test_signs_of_the_database_mean_nothing_in_the_name_of_a_host(world: World, sign: str) -> None:
    world.add_host("web-1", container("app"))
    freeze(world, Selector(hosts=(f"web{sign}1",)))
    rollout = world.rollout()
    world.run()
    assert states(world, rollout) == {"web-1": HostState.SUCCEEDED}


@pytest.mark.parametrize("until", [Offer, Order, Go])
def test_a_freeze_between_two_messages_is_seen_before_the_next(world: World, until: type) -> None:
    """The host answers what was sent before the freeze; nothing follows, and no container is touched."""
    agent = world.add_host("web-1", container("app"))
    rollout = world.rollout()
    if until is not Offer:
        world.deliver(world.until(Offer if until is Order else Order))
    stop = freeze(world)
    world.run(3)
    assert agent.recreated == []
    assert states(world, rollout) == {"web-1": HostState.PENDING}
    stops.lift_stop(world.db, stop.id, **BY)
    world.run()
    assert len(agent.recreated) == 1


def test_a_host_that_pulls_goes_on_pulling_and_is_told_why_it_may_not_apply(world: World) -> None:
    agent = world.add_host("web-1", container("app"))
    world.rollout()
    sent = world.until(Order)
    freeze(world)
    assert world.tick() == []
    (order,) = [each.message for each in sent if isinstance(each.message, Order)]
    world.take(agent, Ready(command=order.command, pulls=()))
    (cancel,) = [each.message for each in world.tick() if isinstance(each.message, Cancel)]
    assert cancel.reason == "frozen by person:anna: Black Friday"


def test_a_go_that_was_sent_is_not_called_off(world: World) -> None:
    agent = world.add_host("web-1", container("app"))
    rollout = world.rollout()
    sent = world.until(Go)
    freeze(world)
    world.deliver(sent)
    assert len(agent.recreated) == 1
    assert states(world, rollout) == {"web-1": HostState.SUCCEEDED}


def test_a_container_that_was_held_after_the_plan_is_left_out_of_the_order(world: World) -> None:
    agent = world.add_host("web-1", container("app"), container("proxy"))
    rollout = world.rollout()
    stops.create_stop(world.db, StopKind.HOLD, Selector(containers=("proxy",)), **BY)
    world.run()
    (order,) = agent.orders.values()
    assert [target.container for target in order.targets] == ["app"]
    assert states(world, rollout) == {"web-1": HostState.SUCCEEDED}


def test_a_hold_before_the_go_takes_the_command_back_and_gives_another_without_it(world: World) -> None:
    agent = world.add_host("web-1", container("app"), container("proxy"))
    world.rollout()
    sent = world.until(Order)
    stops.create_stop(world.db, StopKind.HOLD, Selector(containers=("proxy",)), **BY)
    world.deliver(sent)
    world.run()
    assert [each.outcome.container for each in agent.outcomes.values()] == []
    done = [row["state"].value for row in rows(world.db, commands)]
    assert sorted(done) == ["cancelled", "done"]
    assert len(agent.recreated) == 1


def test_a_host_of_which_nothing_is_left_is_skipped_with_the_reason(world: World) -> None:
    world.add_host("web-1", container("app"))
    rollout = world.rollout()
    stops.create_stop(world.db, StopKind.SKIP, Selector(images=("nginx:1.27",)), digest=NEW, reason="breaks TLS", **BY)
    world.run()
    (host,) = queries.rollout(world.db, rollout).hosts
    assert (host.state, host.reason) == (HostState.SKIPPED, "skipped by person:anna: breaks TLS")
    assert rows(world.db, commands) == []


def test_a_skipped_digest_holds_back_no_other(world: World) -> None:
    agent = world.add_host("web-1", container("app"))
    stops.create_stop(world.db, StopKind.SKIP, Selector(images=("nginx:1.27",)), digest=digest_of("other"), **BY)
    world.rollout()
    world.run()
    assert len(agent.recreated) == 1


@pytest.mark.parametrize(
    ("kind", "selector", "digest"),
    [
        (StopKind.FREEZE, Selector(containers=("app",)), ""),
        (StopKind.HOLD, Selector(hosts=("web-1",)), ""),
        (StopKind.SNOOZE, Selector(containers=("app",)), ""),
        (StopKind.SKIP, Selector(images=("nginx",)), ""),
        (StopKind.SKIP, Selector(), NEW),
        (StopKind.HOLD, Selector(images=("nginx",)), NEW),
        (StopKind.FREEZE, Selector(hosts=("web-[12]",)), ""),
    ],
)
def test_a_stop_that_means_nothing_is_refused(db: Database, kind: StopKind, selector: Selector, digest: str) -> None:
    with pytest.raises(BadInput, match="cannot"):
        stops.create_stop(db, kind, selector, digest=digest, **BY)
    assert stops.stops(db) == []


def test_a_stop_that_is_over_already_is_refused(db: Database, clock: HeldClock) -> None:
    with pytest.raises(BadInput, match="over already"):
        stops.create_stop(db, StopKind.FREEZE, Selector(), ends_at=clock.now(), **BY)


def test_a_stop_is_lifted_once_and_both_are_in_the_audit(world: World) -> None:
    stop = freeze(world)
    row = stops.lift_stop(world.db, stop.id.hex[-8:], **BY)
    assert (row.lifted_by, stops.stops(world.db)) == ("person:anna", [])
    with pytest.raises(Refused, match="over already"):
        stops.lift_stop(world.db, stop.id, **BY)
    with pytest.raises(NotFound):
        stops.lift_stop(world.db, "nope", **BY)
    assert [act.action for act in audit.acts(world.db).items] == ["freeze lift", "freeze create"]
