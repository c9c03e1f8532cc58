"""The whole road, spoken by the tests on both ends: offer, claim, order, ready, go, outcome, receipt."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from uuid import UUID

import pytest

from fleet.controller import plans
from fleet.controller.outdated import outdated
from fleet.errors import BrokerUnreachable, NotFound, Refused, Untrusted
from fleet.history.inventory.containers import containers
from fleet.history.questions import queries
from fleet.history.questions.queries import OutcomeFilter
from fleet.history.registries import tags
from fleet.history.rollouts.tick import LEASE
from fleet.history.tables.facts import commands
from fleet.road.down import Sender
from fleet.road.embedded import EmbeddedBroker
from fleet.road.messages import Order, Ready, Resolve, Resolved
from fleet.rollouts.selector import Selector
from fleet.rollouts.states import CommandState, HostState, RolloutState
from fleet.updates.outcome import Result
from tests.controller.centre import BY, DOOR, NEW, OLD, Centre, Inline, ScriptedHost, nginx

pytestmark = pytest.mark.redis

IMAGE = "docker.io/library/nginx:1"
EVERYTHING = Selector()


@pytest.fixture
def host(centre: Centre) -> Iterator[ScriptedHost]:
    """Return a host that runs an old nginx, whose tag has moved on."""
    host = centre.add_host("web-1")
    host.snapshot(nginx())
    centre.turn()
    host.hear(0.01)
    tags.record_resolved(centre.db, IMAGE, NEW, "https://registry-1.docker.io")
    yield host


def ordered(centre: Centre, host: ScriptedHost) -> tuple[UUID, Order]:
    """Go the road until the host has its order."""
    rollout = apply(centre)
    centre.turn()
    (offer,) = [opened.message for opened in host.hear() if opened.message.kind == "offer"]
    host.claim(offer.command)
    centre.turn()
    (order,) = [opened.message for opened in host.hear() if opened.message.kind == "order"]
    return rollout, order


def apply(centre: Centre) -> UUID:
    """Plan everything, and order it."""
    return plans.apply(centre.db, plans.make_plan(centre.db, EVERYTHING, by=BY).id, by=BY, door=DOOR)


def state(centre: Centre, rollout: UUID) -> tuple[RolloutState, dict[HostState, int]]:
    """Return how far a rollout and its hosts are."""
    row = queries.rollout(centre.db, rollout).rollout
    return row.state, {state: count for state, count in row.counts.items() if count}


def results(centre: Centre) -> list[tuple[str, Result]]:
    """Return what stands in the history."""
    page = queries.outcomes(centre.db, OutcomeFilter())
    return [(row.container, row.result) for row in page.items]


def test_an_order_goes_the_whole_road_and_stands_in_the_history(centre: Centre, host: ScriptedHost) -> None:
    rollout, order = ordered(centre, host)
    (target,) = order.targets
    assert (target.container, target.digest, target.old_digest, target.reference) == ("web", NEW, OLD, IMAGE)
    assert state(centre, rollout) == (RolloutState.RUNNING, {HostState.PULLING: 1})
    host.ready(order)
    centre.turn()
    assert host.words() == ["go"]
    for outcome in host.outcomes(order):
        host.say(outcome)
    centre.turn()
    assert host.words() == ["receipt"]
    assert state(centre, rollout) == (RolloutState.COMPLETED, {HostState.SUCCEEDED: 1})
    (row,) = queries.outcomes(centre.db, OutcomeFilter(host="web-1")).items
    assert (row.result, row.old_digest, row.new_digest, row.downtime_ms) == (Result.UPDATED, OLD, NEW, 700)
    assert row.asked_by == BY
    assert queries.outcome(centre.db, row.id).pull is not None


def test_what_was_said_is_not_said_again_at_the_next_tick(centre: Centre, host: ScriptedHost) -> None:
    apply(centre)
    centre.turn()
    assert host.words() == ["offer"]
    centre.turn()
    assert host.words() == []


def test_every_word_said_twice_changes_nothing(centre: Centre, host: ScriptedHost) -> None:
    """Replays of the same message, and new messages with the same content."""
    rollout, order = ordered(centre, host)
    host.claim(order.command)
    centre.turn()
    host.hear()
    ready = host.say(_ready(host, order))
    host.say_raw(ready)
    host.say(_ready(host, order))
    centre.turn()
    assert host.words().count("go") == 1
    for _ in range(2):
        for outcome in host.outcomes(order):
            host.say_raw(host.say(outcome))
        centre.turn()
    host.say_raw(ready)
    host.claim(order.command)
    centre.turn()
    assert results(centre) == [("web", Result.UPDATED)]
    assert state(centre, rollout)[0] is RolloutState.COMPLETED
    assert "go" not in host.words()


def test_a_flushed_broker_is_made_good_by_the_next_heartbeat(centre: Centre, host: ScriptedHost) -> None:
    rollout, order = ordered(centre, host)
    with centre.broker.client() as client:
        client.flushall()
    host.heartbeat(ready=(order.command,))
    centre.turn()
    assert host.words() == ["go"]
    for outcome in host.outcomes(order):
        host.say(outcome)
    with centre.broker.client() as client:
        client.flushall()
    for outcome in host.outcomes(order):
        host.say(outcome)
    centre.turn()
    assert results(centre) == [("web", Result.UPDATED)]
    assert state(centre, rollout)[0] is RolloutState.COMPLETED


def test_a_lost_offer_is_made_good_by_a_heartbeat_that_claims(centre: Centre, host: ScriptedHost) -> None:
    apply(centre)
    centre.turn()
    (offer,) = [opened.message for opened in host.hear()]
    assert offer.kind == "offer"
    host.heartbeat(claims=(offer.command,))
    centre.turn()
    assert host.words() == ["order"]


def test_a_broker_that_restarts_without_users_loses_no_order(
    centre: Centre, host: ScriptedHost, broker: EmbeddedBroker
) -> None:
    rollout, order = ordered(centre, host)
    broker.stop()
    broker.start()
    centre.planner.tick()
    host.ready(order)
    centre.turn()
    assert host.words() == ["go"]
    assert state(centre, rollout)[1] == {HostState.APPLYING: 1}


def test_an_order_is_for_one_host_alone(centre: Centre, host: ScriptedHost) -> None:
    other = centre.add_host("web-2")
    apply(centre)
    centre.turn()
    with centre.broker.client() as client:
        client.rename(f"host.{host.id.hex}", f"host.{other.id.hex}")
    with pytest.raises(Untrusted, match="meant for another host"):
        other.hear()


def test_no_host_may_read_anothers_queue(centre: Centre, host: ScriptedHost) -> None:
    other = centre.add_host("web-2")
    apply(centre)
    centre.turn()
    with other.broker.client() as client, pytest.raises(Exception, match=r"NOPERM|permission"):
        client.brpop([f"host.{host.id.hex}"], timeout=1)
    assert host.words() == ["offer"]


def test_a_host_cannot_claim_what_is_anothers(centre: Centre, host: ScriptedHost) -> None:
    other = centre.add_host("web-2")
    apply(centre)
    centre.turn()
    (offer,) = [opened.message for opened in host.hear()]
    assert offer.kind == "offer"
    other.claim(offer.command)
    centre.turn()
    assert other.words() == ["cancel"]
    assert host.words() == []


def test_two_planners_say_everything_once(centre: Centre, host: ScriptedHost) -> None:
    from fleet.controller.planner import Planner, Ways

    sender = Sender(centre.broker)
    first = centre.planner._ways
    ways = Ways(sender=sender, reconciler=centre.reconciler, gate=first.gate, asking=first.asking, errands=Inline())
    second = Planner(centre.db, centre.key, ways, centre.settings)
    apply(centre)
    centre.planner.tick()
    second.tick()
    assert host.words() == ["offer"]
    sender.close()


def test_what_the_broker_did_not_take_is_tried_again_soon(
    centre: Centre, host: ScriptedHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fleet.history.rollouts import tick

    rollout = apply(centre)

    def refuse(*_: object) -> None:
        raise BrokerUnreachable("cannot reach the broker")

    with monkeypatch.context() as broken, pytest.raises(BrokerUnreachable):
        broken.setattr(Sender, "send_many", refuse)
        centre.planner.tick()
    assert host.words() == []
    with centre.db.reading() as connection:
        (row,) = connection.execute(commands.select()).all()
    assert row.sent == 0
    assert row.due_at - centre.db.now() <= tick.LEASE
    assert state(centre, rollout)[1] == {HostState.DISPATCHED: 1}


def test_an_order_that_the_broker_did_not_take_is_tried_again_soon(
    centre: Centre, host: ScriptedHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply(centre)
    centre.turn()
    (offer,) = [opened.message for opened in host.hear() if opened.message.kind == "offer"]
    host.claim(offer.command)
    sent: list[int] = []

    def refuse(*_: object) -> None:
        with centre.db.reading() as connection:
            sent.append(connection.execute(commands.select()).one().sent)
        raise BrokerUnreachable("cannot reach the broker")

    with monkeypatch.context() as broken, pytest.raises(BrokerUnreachable):
        broken.setattr(Sender, "send_many", refuse)
        centre.turn()
    with centre.db.reading() as connection:
        row = connection.execute(commands.select()).one()
    assert [row.sent] == [before - 1 for before in sent], "an order that nobody got is not counted as one"
    assert row.due_at - centre.db.now() <= LEASE


def test_a_tick_ends_what_nobody_answered_in_its_time(centre: Centre, host: ScriptedHost) -> None:
    apply(centre)
    centre.turn()
    with centre.db.writing() as connection:
        connection.execute(commands.update().values(deadline=centre.db.moment(connection)))
    centre.turn()
    with centre.db.reading() as connection:
        states = [row.state for row in connection.execute(commands.select().order_by(commands.c.id))]
    assert states == [CommandState.EXPIRED, CommandState.OFFERED], "and the host gets another turn at once"


def test_offers_go_in_batches_and_those_that_did_not_go_are_tried_again_soon(
    centre: Centre, host: ScriptedHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fleet.history.rollouts import tick

    for each in (centre.add_host("web-2"), centre.add_host("web-3")):
        each.snapshot(nginx())
    centre.turn()
    apply(centre)
    one = centre.settings.planner.model_copy(update={"batch": 1})
    gone: list[list[str]] = []

    def once(_: Sender, messages: Sequence[tuple[str, str]]) -> None:
        if gone:
            raise BrokerUnreachable("cannot reach the broker")
        gone.append([to for to, _ in messages])

    with monkeypatch.context() as broken, pytest.raises(BrokerUnreachable):
        broken.setattr(centre.planner, "_settings", centre.settings.model_copy(update={"planner": one}))
        broken.setattr(Sender, "send_many", once)
        centre.planner.tick()
    with centre.db.reading() as connection:
        told = {row.host_id.hex: row for row in connection.execute(commands.select())}
    assert len(gone) == len(gone[0]) == 1
    assert len(told) == 3
    assert {to for to, row in told.items() if row.sent == 1} == set(gone[0])
    assert {to for to, row in told.items() if row.due_at - centre.db.now() <= tick.LEASE} == set(told) - set(gone[0])


def test_an_offer_is_tried_again_soon_where_the_tick_ends_before_it_was_sent(
    centre: Centre, host: ScriptedHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply(centre)

    def refuse(*_: object) -> None:
        raise BrokerUnreachable("cannot reach the broker")

    with monkeypatch.context() as broken, pytest.raises(BrokerUnreachable):
        broken.setattr(centre.reconciler, "let_in_changed", refuse)
        centre.planner.tick()
    assert host.words() == []
    with centre.db.reading() as connection:
        (row,) = connection.execute(commands.select()).all()
    assert row.sent == 0


def test_a_crash_between_sending_and_noting_says_it_again_and_harms_nothing(
    centre: Centre, host: ScriptedHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fleet.history.rollouts import tick

    rollout = apply(centre)

    def crash(*_: object) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as broken, pytest.raises(RuntimeError):
        broken.setattr(tick, "mark_sent", crash)
        centre.planner.tick()
    (offer,) = [opened.message for opened in host.hear()]
    assert offer.kind == "offer"
    host.claim(offer.command)
    centre.turn()
    assert state(centre, rollout)[1] == {HostState.PULLING: 1}


def test_a_rolled_back_container_is_a_failure_of_the_rollout(centre: Centre, host: ScriptedHost) -> None:
    rollout, order = ordered(centre, host)
    host.ready(order)
    centre.turn()
    for outcome in host.outcomes(order, Result.ROLLED_BACK):
        host.say(outcome)
    centre.turn()
    assert state(centre, rollout) == (RolloutState.COMPLETED_WITH_FAILURES, {HostState.FAILED: 1})


def test_a_plan_whose_tag_moved_since_is_refused(centre: Centre, host: ScriptedHost) -> None:
    plan = plans.make_plan(centre.db, EVERYTHING, by=BY)
    tags.record_resolved(centre.db, IMAGE, f"sha256:{'2' * 64}", "e")
    with pytest.raises(Refused, match=r"^cannot apply"):
        plans.apply(centre.db, plan.id, by=BY, door=DOOR)


def test_a_plan_whose_container_was_recreated_since_is_refused(centre: Centre, host: ScriptedHost) -> None:
    plan = plans.make_plan(centre.db, EVERYTHING, by=BY)
    host.snapshot(nginx())
    centre.turn()
    with pytest.raises(Refused, match=r"^cannot apply"):
        plans.apply(centre.db, plan.id, by=BY, door=DOOR)


def test_an_update_of_what_is_current_does_nothing(centre: Centre, host: ScriptedHost) -> None:
    host.snapshot(nginx(digest=NEW))
    centre.turn()
    rollout, plan = plans.update(centre.db, "web-1", "web", by=BY, door=DOOR)
    assert (rollout, plan.document.containers) == (None, 0)


def test_an_update_takes_one_container_where_one_is_named(centre: Centre, host: ScriptedHost) -> None:
    host.snapshot(nginx("a"), nginx("b"))
    centre.turn()
    rollout, plan = plans.update(centre.db, "web-1", "b", by=BY, door=DOOR)
    assert rollout is not None
    assert [c.container for c in plan.document.hosts[0].containers] == ["b"]


@pytest.mark.parametrize(("name", "container"), [("web-9", None), ("web-1", "nothing")])
def test_what_there_is_not_cannot_be_updated(
    name: str, container: str | None, centre: Centre, host: ScriptedHost
) -> None:
    with pytest.raises(NotFound, match=r"^cannot find"):
        plans.update(centre.db, name, container, by=BY, door=DOOR)


def test_a_plan_for_a_host_that_there_is_not_is_refused(centre: Centre) -> None:
    with pytest.raises(NotFound, match="web-9"):
        plans.make_plan(centre.db, Selector(hosts=("web-9",)), by=BY)


def test_a_host_resolves_what_the_centre_may_not(centre: Centre, host: ScriptedHost) -> None:
    tags.ask_host(centre.db, IMAGE)
    centre.turn()
    (asked,) = [opened.message for opened in host.hear()]
    assert isinstance(asked, Resolve)
    digest = f"sha256:{'3' * 64}"
    host.say(Resolved(request=asked.request, reference=asked.reference, digest=digest, endpoint="https://private"))
    centre.turn()
    known = tags.tag(centre.db, IMAGE)
    assert known is not None
    assert (known.digest, known.endpoint) == (digest, "https://private")


def test_another_host_cannot_answer_in_its_place(centre: Centre, host: ScriptedHost) -> None:
    other = centre.add_host("web-2")
    tags.ask_host(centre.db, IMAGE)
    centre.turn()
    (asked,) = [opened.message for opened in host.hear()]
    assert isinstance(asked, Resolve)
    other.say(Resolved(request=asked.request, reference=asked.reference, digest=f"sha256:{'6' * 64}", endpoint="x"))
    centre.turn()
    known = tags.tag(centre.db, IMAGE)
    assert known is not None
    assert known.digest == NEW


def test_what_the_centre_signs_holds_for_its_host_until_it_expires(centre: Centre, host: ScriptedHost) -> None:
    apply(centre)
    centre.turn()
    (opened,) = host.hear()
    assert opened.expires_at > datetime.now(UTC)
    assert opened.kid == centre.key.kid


def test_outdated_says_how_each_container_stands(centre: Centre, host: ScriptedHost) -> None:
    host.snapshot(nginx("new", NEW), nginx("old", OLD), nginx("pinned", OLD, f"nginx@{OLD}"))
    centre.turn()
    found = outdated(centre.db, EVERYTHING)
    said = {s.container.name: s.freshness.value for s in found.standings}
    assert (said, found.current, found.pinned) == ({"old": "outdated"}, 1, 1)
    assert len(containers(centre.db)) == 3


def _ready(host: ScriptedHost, order: Order) -> Ready:
    return Ready(command=order.command, pulls=host.pulls(order))
