"""People are told of what happened once, whoever dies in between, on both databases."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from fleet.errors import NotFound, Refused
from fleet.history.notify import channels, conditions, deliveries, event_taking
from fleet.history.notify.available import tell_available
from fleet.history.notify.conditions import QUIET, Seen
from fleet.history.notify.deliveries import LEASE, DeliveryRow
from fleet.history.notify.event_taking import KEPT_BACK
from fleet.history.rollouts import people as rollouts
from fleet.history.rollouts import tick
from fleet.history.rollouts.plans import plan
from fleet.history.sql.database import Database
from fleet.history.tables.facts import rollout_events, updates
from fleet.history.tables.notify import channels as channels_table
from fleet.history.tables.notify import events
from fleet.history.tables.words import ChannelKind, DeliveryState
from fleet.history.upkeep import retention
from fleet.notify.rule import Rule
from fleet.notify.sent import TAKEN, Came, Sent, later
from fleet.notify.severity import Severity
from fleet.notify.waits import GIVEN_UP_AFTER
from fleet.rollouts.selector import Selector
from fleet.rollouts.spec import RolloutSpec
from fleet.updates.outcome import Result
from tests.history.conftest import HeldClock
from tests.history.world import BY, GOOD_MIRROR, World, container, rows

SOURCE = "urn:fleet:test"


def add(db: Database, name: str = "ops", rule: Rule | None = None) -> UUID:
    """Add a channel; return its id."""
    row = channels.add_channel(
        db, name=name, kind=ChannelKind.WEBHOOK, address="https://x.lan", sealed="s", rule=rule or Rule(), **BY
    )
    return row.id


def told(db: Database, channel_id: UUID) -> list[dict[str, Any]]:
    """Take all events; return those that wait for a channel."""
    event_taking.take_events(db, SOURCE)
    return [row.told for row in deliveries.waiting(db, channel_id, 1000)]


def types(documents: Sequence[dict[str, Any]]) -> list[str]:
    """Return the types of events, without what all begin with."""
    return [each["type"].removeprefix("fleet.") for each in documents]


class TestWritten:
    """Events out of what the history records."""

    def test_a_failure_is_told_at_once_and_the_run_in_one_summary(self, world: World) -> None:
        ops = add(world.db)
        world.add_host("web-1", container("shop"))
        world.add_host("web-2", container("shop")).result = Result.FAILED
        world.rollout()
        world.run(12)
        (failed, ended) = sorted(told(world.db, ops), key=lambda each: each["type"], reverse=True)
        assert (failed["type"], failed["severity"]) == ("fleet.update.failed", "error")
        (update,) = [row for row in rows(world.db, updates) if row["result"] is Result.FAILED]
        assert failed["id"] == str(update["id"])
        assert failed["subject"] == "web-2/shop"
        data = failed["data"]
        assert [data[part] for part in ("host", "container", "image", "mirror", "reason", "rollout")] == [
            "web-2", "shop", "docker.io/library/nginx:1.27", GOOD_MIRROR, "cannot do it", 1
        ]  # fmt: skip
        assert (data["old_digest"], data["new_digest"]) == (update["old_digest"], update["new_digest"])
        assert "asked_by" not in data
        assert (ended["type"], ended["data"]["state"]) == ("fleet.rollout.completed", "completed_with_failures")
        assert ended["data"]["results"] == {"failed": 1, "updated": 1}
        assert ended["data"]["hosts"] == {"failed": 1, "succeeded": 1}
        assert [line["host"] for line in ended["data"]["updates"]] == ["web-2", "web-1"]

    @pytest.mark.parametrize(("wanted", "count"), [(("update.*",), 3), (("rollout.*",), 0)])
    def test_each_success_is_written_where_a_channel_wants_it(
        self, world: World, wanted: tuple[str, ...], count: int
    ) -> None:
        ops = add(world.db, rule=Rule(events=wanted))
        for number in range(3):
            world.add_host(f"web-{number}", container("shop"))
        world.rollout()
        world.run(12)
        assert types(told(world.db, ops)).count("update.applied") == count
        assert [row["type"].value for row in rows(world.db, events)].count("update.applied") == count

    def test_an_outcome_that_is_repeated_is_told_once(self, world: World) -> None:
        agent = world.add_host("web-1", container("shop"))
        agent.result = Result.ROLLED_BACK
        ops = add(world.db)
        world.rollout()
        world.run(12)
        (update,) = rows(world.db, updates)
        (order,) = agent.orders.values()
        before = told(world.db, ops)
        world.take(agent, agent.outcome(order, UUID(str(update["id"]))))
        assert told(world.db, ops) == before
        assert types(before).count("update.rolled_back") == 1

    def test_what_was_not_committed_is_told_by_nobody(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """The event is of the transaction that writes the outcome: both are there, or neither."""
        agent = world.add_host("web-1", container("shop"))
        agent.result = Result.FAILED
        world.rollout()
        with monkeypatch.context() as broken:
            broken.setattr("fleet.history.inbox.taking.tell_updates", lambda _, told: 1 / len([]) if told else None)
            world.run(12)
        assert (rows(world.db, updates), [row for row in rows(world.db, events) if row["host_id"]]) == ([], [])
        world.take(agent, *agent.outcomes.values())
        assert len(rows(world.db, updates)) == len([row for row in rows(world.db, events) if row["host_id"]]) == 1

    def test_a_rollout_that_waits_for_a_person_or_is_paused_is_told_with_what_to_do(self, world: World) -> None:
        ops = add(world.db)
        world.add_host("web-1", container("shop"))
        spec = RolloutSpec.parse({"waves": [{"size": "rest", "approval": True}]})
        first = world.rollout(spec=spec)
        world.tick()
        (asks,) = told(world.db, ops)
        assert (types([asks]), asks["data"]["command"]) == (["rollout.approval_requested"], "fleet approve 1")
        assert asks["id"] in {str(row["id"]) for row in rows(world.db, rollout_events)}
        rollouts.hold_rollout(world.db, first, reason="lunch", **BY)
        rollouts.abort_rollout(world.db, first, **BY)
        world.tick()
        (_, paused, aborted) = told(world.db, ops)
        assert (types([paused, aborted]), paused["data"]["reason"]) == (["rollout.paused", "rollout.aborted"], "lunch")
        assert "by" not in paused["data"]

    def test_what_is_outdated_is_told_until_it_is_another(self, world: World) -> None:
        world.add_host("web-1", container("shop"))
        ops, others = add(world.db), add(world.db, "others", Rule(selector=Selector(hosts=("db-*",))))
        for version in ("new", "new", "newer"):
            tell_available(world.db, plan(world.db, world.plan(version=version)), "nightly")
        (first, second) = told(world.db, ops)
        assert types([first, second]) == ["update.available"] * 2
        assert first["data"]["updates"][0]["host"] == "web-1"
        assert second["data"]["updates"][0]["new_digest"] != first["data"]["updates"][0]["new_digest"]
        assert "plan_id" not in first["data"]
        assert told(world.db, others) == []


class TestTaken:
    """Events go to the channels that want them, each once."""

    def test_a_channel_gets_what_is_about_its_hosts(self, world: World) -> None:
        shop = add(world.db, "shop", Rule(selector=Selector(hosts=("web-1",))))
        base = add(world.db, "base", Rule(selector=Selector(hosts=("db-*",))))
        image = add(world.db, "image", Rule(selector=Selector(images=("nginx",), containers=("shop",))))
        for name in ("web-1", "db-1"):
            world.add_host(name, container("shop")).result = Result.FAILED
        world.rollout("web-1")
        world.run(12)
        assert sorted(types(told(world.db, shop))) == ["rollout.completed", "update.failed"]
        assert told(world.db, base) == []
        assert sorted(types(told(world.db, image))) == ["rollout.completed", "update.failed"]

    def test_taking_twice_at_once_takes_each_once(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        ops = add(world.db)
        _fail(world)
        real = event_taking._take
        again: list[int] = []

        def twice(*args: Any) -> None:
            if not again:
                again.append(0)
                again[0] = event_taking.take_events(world.db, "urn:fleet:other")
            real(*args)

        monkeypatch.setattr(event_taking, "_take", twice)
        found = told(world.db, ops)
        assert again[0] == len(rows(world.db, events))
        assert sorted(types(found)) == ["rollout.completed", "update.failed"]
        assert {each["source"] for each in found} == {"urn:fleet:other"}, "what was told first stays"

    def test_without_channels_events_are_taken_and_nothing_is_kept_for_later(self, world: World) -> None:
        _fail(world)
        assert event_taking.take_events(world.db, SOURCE) == 3
        assert event_taking.take_events(world.db, SOURCE) == 0
        assert told(world.db, add(world.db)) == []

    def test_what_no_channel_has_room_for_is_given_up_and_counted(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(event_taking, "MOST_WAITING", 1)
        ops = add(world.db)
        _fail(world)
        assert len(told(world.db, ops)) == 1
        (row,) = [each for each in deliveries.latest(world.db, ops, 10) if each.state is DeliveryState.GIVEN_UP]
        assert row.reason == KEPT_BACK
        assert channels.channel(world.db, "ops").given_up == 1


def _fail(world: World) -> None:
    world.add_host("web-1", container("shop")).result = Result.FAILED
    world.rollout()
    world.run(12)


class TestSent:
    """What comes of sending, and who may send."""

    @pytest.fixture
    def ops(self, world: World) -> UUID:
        """A channel for which two events wait."""
        id = add(world.db)
        _fail(world)
        assert len(told(world.db, id)) == 2
        return id

    def _first(self, db: Database, id: UUID) -> DeliveryRow:
        return deliveries.waiting(db, id, 1)[0]

    def test_who_sends_has_a_channel_for_itself_until_its_lease_ends(
        self, world: World, ops: UUID, clock: HeldClock
    ) -> None:
        assert deliveries.due_channels(world.db) == [ops]
        assert deliveries.claim_channel(world.db, ops) is not None
        assert (deliveries.due_channels(world.db), deliveries.claim_channel(world.db, ops)) == ([], None)
        clock.at += LEASE
        first = self._first(world.db, ops)
        assert deliveries.claim_channel(world.db, ops) is not None
        assert self._first(world.db, ops) == first, "who died has noted nothing, so it is sent again, the same"

    def test_what_was_taken_is_not_sent_again(self, world: World, ops: UUID) -> None:
        first = self._first(world.db, ops)
        deliveries.note_came(world.db, ops, [first.event_id], TAKEN)
        assert self._first(world.db, ops).event_id != first.event_id
        found = deliveries.delivery(world.db, ops, first.event_id)
        assert found is not None
        assert (found.state, found.tries) == (DeliveryState.SENT, 1)
        assert channels.channel(world.db, "ops").sent_at is not None

    def test_a_channel_that_fails_is_left_alone_longer_each_time(
        self, world: World, ops: UUID, clock: HeldClock
    ) -> None:
        first = self._first(world.db, ops)
        for failures, seconds in enumerate((5, 15, 45), 1):
            assert deliveries.claim_channel(world.db, ops) is not None
            deliveries.note_came(world.db, ops, [first.event_id], later("it answered 500"))
            deliveries.release_channel(world.db, ops)
            row = channels.channel(world.db, "ops")
            assert (row.failures, row.due_at) == (failures, clock.at + timedelta(seconds=seconds))
            assert deliveries.due_channels(world.db) == []
            clock.move(seconds=seconds)
        assert self._first(world.db, ops).tries == 3
        deliveries.note_came(world.db, ops, [first.event_id], TAKEN)
        row = channels.channel(world.db, "ops")
        assert (row.failures, row.failing_since, row.due_at, row.reason) == (0, None, None, "")

    def test_one_event_that_is_refused_keeps_no_other(self, world: World, ops: UUID) -> None:
        first = self._first(world.db, ops)
        deliveries.note_came(world.db, ops, [first.event_id], Came(sent=Sent.REFUSED, reason="it answered 413"))
        row = channels.channel(world.db, "ops")
        assert (row.waiting, row.given_up, row.failing_since) == (1, 1, None)

    def test_who_is_gone_is_sent_nothing_until_a_person_says_so(self, world: World, ops: UUID) -> None:
        first = self._first(world.db, ops)
        deliveries.note_came(world.db, ops, [first.event_id], Came(sent=Sent.GONE, reason="it answered 410"))
        row = channels.channel(world.db, "ops")
        assert (row.waiting, row.given_up, row.stopped_at is not None) == (0, 2, True)
        deliveries.release_channel(world.db, ops)
        assert deliveries.due_channels(world.db) == []
        assert deliveries.retry_channel(world.db, "ops", **BY) == 2
        assert deliveries.due_channels(world.db) == [ops]

    def test_what_was_tried_for_a_day_is_given_up_and_may_be_retried(
        self, world: World, ops: UUID, clock: HeldClock
    ) -> None:
        clock.at += GIVEN_UP_AFTER - timedelta(seconds=1)
        assert deliveries.give_up_old(world.db) == 0
        clock.move(seconds=1)
        assert deliveries.give_up_old(world.db) == 2
        assert channels.channel(world.db, "ops").given_up == 2
        deliveries.retry_channel(world.db, "ops", **BY)
        assert deliveries.give_up_old(world.db) == 0
        assert len(deliveries.waiting(world.db, ops, 10)) == 2

    def test_what_comes_after_a_message_is_gathered(self, world: World, ops: UUID, clock: HeldClock) -> None:
        first = self._first(world.db, ops)
        deliveries.note_came(world.db, ops, [first.event_id], TAKEN)
        deliveries.release_channel(world.db, ops, gathers=True)
        assert deliveries.due_channels(world.db) == []
        deliveries.ask_test(world.db, "ops", **BY)
        assert deliveries.due_channels(world.db) == [ops], "a test does not wait"

    def test_a_test_goes_to_its_channel_alone_whatever_the_rule(self, world: World, ops: UUID) -> None:
        quiet = add(world.db, "quiet", Rule(events=("mirror-down",), severity=Severity.ERROR))
        id = deliveries.ask_test(world.db, "quiet", **BY)
        assert types(told(world.db, quiet)) == ["channel.test"]
        assert deliveries.delivery(world.db, ops, id) is None

    def test_a_channel_that_is_removed_takes_what_waits_with_it(self, world: World, ops: UUID) -> None:
        channels.remove_channel(world.db, "ops", **BY)
        assert deliveries.waiting(world.db, ops, 10) == []
        with pytest.raises(NotFound, match="fleet notify ls"):
            channels.channel(world.db, "ops")

    def test_a_name_is_taken_once(self, world: World, ops: UUID) -> None:
        with pytest.raises(Refused, match="taken"):
            add(world.db)


DOWN = Seen(code="mirror-down", subject="https://m.lan", severity=Severity.WARNING, title="A mirror", text="down")


class TestConditions:
    """Conditions are told when they begin, and when they have ended for good."""

    def test_each_is_told_once_and_its_end_when_it_lasts(self, db: Database, clock: HeldClock) -> None:
        ops = add(db)
        for _ in range(3):
            conditions.note(db, [DOWN])
        assert types(told(db, ops)) == ["condition.raised"]
        conditions.note(db, [])
        clock.at += QUIET - timedelta(seconds=1)
        conditions.note(db, [])
        conditions.note(db, [DOWN])
        conditions.note(db, [])
        clock.at += QUIET - timedelta(seconds=1)
        conditions.note(db, [])
        assert types(told(db, ops)) == ["condition.raised"], "it came and went"
        clock.move(seconds=1)
        conditions.note(db, [])
        (raised, ended) = told(db, ops)
        assert types([raised, ended]) == ["condition.raised", "condition.ended"]
        assert ended["data"]["raised_at"]
        assert raised["id"] != ended["id"]
        conditions.note(db, [DOWN])
        assert types(told(db, ops)).count("condition.raised") == 2

    def test_what_is_muted_is_told_when_it_is_no_more(self, db: Database) -> None:
        ops = add(db)
        conditions.note(db, [DOWN], muted={(DOWN.code, DOWN.subject)})
        assert told(db, ops) == []
        conditions.note(db, [DOWN])
        assert types(told(db, ops)) == ["condition.raised"]
        conditions.note(db, [DOWN], muted={(DOWN.code, DOWN.subject)})
        assert types(told(db, ops)) == ["condition.raised"], "what was told goes on"


def test_old_events_are_pruned_with_their_deliveries(world: World, clock: HeldClock) -> None:
    ops = add(world.db)
    _fail(world)
    told(world.db, ops)
    clock.move(days=29)
    assert not {"events", "deliveries"} & set(retention.prune(world.db))
    clock.move(days=2)
    gone = retention.prune(world.db)
    assert (gone["events"], gone["deliveries"]) == (3, 2)


def test_no_secret_of_a_channel_is_read_where_it_is_listed(db: Database) -> None:
    add(db)
    assert "sealed" not in repr(channels.channels(db)).replace("sealed=False", "")
    assert rows(db, channels_table)[0]["sealed"] == "s"


def test_an_advance_tells_no_more_than_it_did(world: World) -> None:
    """A rollout that goes on without a word for people writes no event."""
    world.add_host("web-1", container("shop"))
    world.rollout()
    tick.expire(world.db)
    world.advance_all()
    assert [row["type"].value for row in rows(world.db, events)] == ["rollout.started"]
