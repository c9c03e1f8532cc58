"""One message and not dozens: a channel hears of its own part, of what is new, and of what comes and goes once."""

from datetime import timedelta
from uuid import UUID

from fleet.history.inventory import hosts
from fleet.history.noted.events import event, tell
from fleet.history.notify import channels, conditions, deliveries, event_taking
from fleet.history.notify.available import tell_available
from fleet.history.notify.conditions import KNOWN_FOR, Seen
from fleet.history.rollouts.plans import plan
from fleet.history.sql.database import Database
from fleet.history.sql.upsert import insert_new
from fleet.history.tables.notify import conditions as conditions_table
from fleet.history.tables.notify import deliveries as deliveries_table
from fleet.history.tables.words import ChannelKind
from fleet.ids import new_id
from fleet.notify.events import EventType
from fleet.notify.rule import Rule
from fleet.notify.sent import TAKEN
from fleet.notify.severity import Severity
from fleet.notify.waits import GATHERED
from fleet.rollouts.selector import Selector
from fleet.updates.outcome import Result
from tests.history.conftest import HeldClock
from tests.history.test_notify import told, types
from tests.history.world import BY, World, container, rows


def add(db: Database, name: str, rule: Rule | None = None, kind: ChannelKind = ChannelKind.APPRISE) -> UUID:
    """Add a channel for people; return its id."""
    row = channels.add_channel(db, name=name, kind=kind, address="ntfys://...", sealed="s", rule=rule or Rule(), **BY)
    return row.id


def site(name: str, **more: tuple[str, ...]) -> Rule:
    """Return the rule of a channel for one site."""
    return Rule(selector=Selector(labels={"site": name}, **more))


def two_sites(world: World) -> None:
    """Add two hosts of site a and one of site b; one of site a fails."""
    for name, where in (("web-1", "a"), ("web-2", "a"), ("web-3", "b")):
        agent = world.add_host(name, container("shop"), container("db", "redis:7"))
        hosts.label_host(world.db, name, labels={"site": where}, **BY)
        agent.result = Result.FAILED if name == "web-1" else Result.UPDATED


class TestParts:
    """A channel that chose a part is told what came of that part."""

    def test_the_summary_is_of_the_hosts_that_a_channel_chose(self, world: World) -> None:
        ops, a, b = add(world.db, "ops"), add(world.db, "a", site("a")), add(world.db, "b", site("b"))
        elsewhere = add(world.db, "c", site("c"))
        two_sites(world)
        world.rollout()
        world.run(12)
        whole, mine, theirs = (told(world.db, id)[-1] for id in (ops, a, b))
        assert (whole["data"]["hosts"], whole["data"].get("hosts_in_all")) == ({"failed": 1, "succeeded": 2}, None)
        assert (mine["data"]["hosts"], mine["data"]["hosts_in_all"]) == ({"failed": 1, "succeeded": 1}, 3)
        assert mine["data"]["results"] == {"failed": 1, "updated": 1}
        assert [line["host"] for line in mine["data"]["updates"]] == ["web-1", "web-2"]
        assert (mine["severity"], mine["data"]["state"]) == ("error", "completed_with_failures")
        assert [line["host"] for line in theirs["data"]["updates"]] == ["web-3"]
        assert (theirs["severity"], theirs["data"]["state"], "command" in theirs["data"]) == (
            "info",
            "completed",
            False,
        )
        assert {whole["id"], mine["id"], theirs["id"]} == {whole["id"]}, "it is one event"
        assert told(world.db, elsewhere) == []

    def test_a_channel_for_errors_hears_of_no_failure_of_others(self, world: World) -> None:
        rule = Rule(selector=Selector(labels={"site": "b"}), severity=Severity.ERROR)
        b = add(world.db, "b", rule)
        two_sites(world)
        world.rollout()
        world.run(12)
        assert told(world.db, b) == []

    def test_what_is_sent_again_is_still_of_its_part(self, world: World) -> None:
        b = add(world.db, "b", site("b"))
        two_sites(world)
        world.rollout()
        world.run(12)
        (first,) = told(world.db, b)
        (again,) = [row.told for row in deliveries.latest(world.db, b, 9)]
        found = deliveries.delivery(world.db, b, UUID(first["id"]))
        assert found is not None
        assert first == again == found.told

    def test_outdated_is_counted_for_the_part_and_told_when_something_of_it_is_new(
        self, world: World, clock: HeldClock
    ) -> None:
        ops, a, b = add(world.db, "ops"), add(world.db, "a", site("a")), add(world.db, "b", site("b"))
        two_sites(world)
        tell_available(world.db, plan(world.db, world.plan("web-1")), "nightly")
        clock.move(hours=1)
        tell_available(world.db, plan(world.db, world.plan("web-1", "web-3")), "nightly")
        first, second = sorted(told(world.db, ops), key=lambda each: str(each["time"]))
        assert [each["data"]["containers"] for each in (first, second)] == [1, 2]
        (mine,) = told(world.db, a)
        (theirs,) = told(world.db, b)
        assert (mine["data"]["containers"], theirs["data"]["containers"]) == (1, 1), "what is new is not of site a"
        assert (second["data"]["new"], [(line["host"], line.get("new")) for line in second["data"]["updates"]]) == (
            1, [("web-3", True), ("web-1", None)]
        )  # fmt: skip
        assert "plan_id" not in second["data"]

    def test_fewer_outdated_ones_are_no_news(self, world: World, clock: HeldClock) -> None:
        ops = add(world.db, "ops")
        two_sites(world)
        for names in (("web-1", "web-3"), ("web-3",)):
            tell_available(world.db, plan(world.db, world.plan(*names)), "nightly")
            clock.move(hours=1)
        assert [each["data"]["containers"] for each in told(world.db, ops)] == [2]


class TestAgain:
    """What people know is not told again."""

    def test_a_digest_that_fails_again_is_told_to_programs_and_in_the_summary_alone(self, world: World) -> None:
        ops, hook = add(world.db, "ops"), add(world.db, "hook", kind=ChannelKind.WEBHOOK)
        agent = world.add_host("web-1", container("shop"))
        for result in (Result.FAILED, Result.FAILED, Result.ROLLED_BACK):
            agent.result = result
            world.rollout()
            world.run(12)
        told_ops, told_hook = told(world.db, ops), told(world.db, hook)
        failed = [each["data"].get("repeated", False) for each in told_hook if each["type"] == "fleet.update.failed"]
        assert failed == [False, True]
        assert sorted(types(told_ops)) == ["rollout.completed"] * 3 + ["update.failed", "update.rolled_back"]
        summaries = sorted(
            (each["data"] for each in told_ops if "state" in each["data"]), key=lambda data: data["rollout"]
        )
        assert [line.get("repeated", False) for data in summaries for line in data["updates"]] == [False, True, False]

    def test_another_digest_is_news(self, world: World) -> None:
        ops = add(world.db, "ops")
        world.add_host("web-1", container("shop")).result = Result.FAILED
        for version in ("new", "newer"):
            world.rollout(version=version)
            world.run(12)
        assert types(told(world.db, ops)).count("update.failed") == 2

    def test_messages_in_a_row_come_less_often_until_it_is_quiet(self, db: Database, clock: HeldClock) -> None:
        ops = add(db, "ops")
        assert _sent_for_an_hour(db, ops, clock) == [0, 1, 3, 7, 15, 30, 45, 60]
        clock.move(hours=1)
        assert _sent_for_an_hour(db, ops, clock)[:3] == [0, 1, 3]

    def test_what_is_no_update_waits_a_minute_at_most(self, world: World, clock: HeldClock) -> None:
        db, ops = world.db, add(world.db, "ops")
        _sent_for_an_hour(db, ops, clock)
        assert deliveries.due_channels(db) == []
        at = clock.at
        conditions.note(db, [_down()])
        told(db, ops)
        assert deliveries.due_channels(db) == []
        clock.at = at + GATHERED
        assert deliveries.due_channels(db) == [ops]


def _sent_for_an_hour(db: Database, ops: UUID, clock: HeldClock) -> list[int]:
    """Let something fail every 30 s for an hour; return in which minutes a message went."""
    sent = []
    for turn in range(121):
        _fail_somewhere(db, ops)
        if deliveries.due_channels(db) and deliveries.claim_channel(db, ops):
            waits = deliveries.waiting(db, ops, 1000)
            deliveries.note_came(db, ops, [row.event_id for row in waits], TAKEN)
            deliveries.release_channel(db, ops, gathers=True)
            sent.append(turn // 2)
        clock.move(seconds=30)
    return sent


def _fail_somewhere(db: Database, ops: UUID) -> None:
    """Let an update's event wait for the channel."""
    with db.writing() as connection:
        now, id = db.moment(connection), new_id()
        made = event(id=id, kind=(EventType.FAILED, Severity.ERROR), at=now)
        tell(connection, [made | {"taken_at": now, "told": {"id": str(id)}}])
        waits = event_taking._delivery(ops, id, now, None, True)
        insert_new(connection, deliveries_table, [waits], ("channel_id", "event_id"))


def _down() -> Seen:
    return Seen(code="mirror-down", subject="https://m.lan", severity=Severity.WARNING, title="A mirror", text="down")


class TestFlapping:
    """What comes and goes is told, and then left alone until it stays away."""

    def test_one_that_is_down_two_of_ten_minutes_for_hours_is_four_messages(
        self, db: Database, clock: HeldClock
    ) -> None:
        ops = add(db, "ops")
        for minute in range(6 * 60):
            conditions.note(db, [_down()] if minute % 10 < 2 else [])
            clock.move(minutes=1)
        for _ in range(24):
            conditions.note(db, [])
            clock.move(minutes=1)
        found = told(db, ops)
        assert types(found) == ["condition.raised", "condition.ended"] * 2
        assert [each["data"].get("times", 1) for each in found] == [1, 1, 2, 2]
        assert found[3]["data"]["ended_at"] < found[3]["time"]

    def test_one_that_comes_back_days_later_is_a_new_one(self, db: Database, clock: HeldClock) -> None:
        ops = add(db, "ops")
        for seen in ([_down()], [], []):
            conditions.note(db, seen)
            clock.move(minutes=6)
        clock.at += KNOWN_FOR
        conditions.note(db, [])
        assert rows(db, conditions_table) == []
        conditions.note(db, [_down()])
        assert "times" not in told(db, ops)[-1]["data"]

    def test_its_quiet_grows_no_longer_than_hours(self) -> None:
        waits = [conditions.quiet(times) for times in range(1, 40)]
        assert (waits[0], waits[1], waits[-1]) == (conditions.QUIET, 2 * conditions.QUIET, conditions.LONGEST_QUIET)
        assert waits == sorted(waits)
        assert timedelta(hours=1) < conditions.KNOWN_FOR - conditions.LONGEST_QUIET
