"""What is done by the clock: looking, and looking, planning and applying."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from fleet.controller import plans
from fleet.controller import schedules as running
from fleet.controller.check import check, check_due
from fleet.controller.outdated import outdated
from fleet.controller.resolving import Asking
from fleet.errors import BadInput
from fleet.history.questions import queries
from fleet.history.registries import tags
from fleet.history.rollouts import schedules
from fleet.history.rollouts.schedules import ScheduleRow
from fleet.history.rules import stops
from fleet.history.tables.words import ScheduleAction
from fleet.registry.credentials import NoCredentials
from fleet.road.messages import Offer, Order
from fleet.rollouts.cron import next_run
from fleet.rollouts.selector import Selector
from fleet.rollouts.stops import StopKind
from fleet.testing.clock import ManualClock
from fleet.testing.faults import Fault
from fleet.testing.gatekeeper import Access
from fleet.testing.registry import ScriptedRegistry
from fleet.updates.outcome import Result
from tests.controller.centre import BY, DOOR, Centre, ScriptedHost, nginx

pytestmark = pytest.mark.redis

ASKING = Asking(credentials=NoCredentials())


@pytest.fixture
def registry() -> Iterator[ScriptedRegistry]:
    """Serve app:1, and know what it is asked."""
    with ScriptedRegistry() as registry:
        registry.shelf.add_image("app", "1", layers=[b"one"])
        yield registry


@pytest.fixture
def image(registry: ScriptedRegistry) -> str:
    """Return the name of app:1."""
    return f"{registry.host}/app:1"


@pytest.fixture
def two(centre: Centre, image: str) -> list[ScriptedHost]:
    """Return two hosts that run app:1."""
    hosts = [centre.add_host(name) for name in ("web-1", "web-2")]
    for host in hosts:
        host.snapshot(nginx("app", reference=image))
    centre.turn()
    for host in hosts:
        host.hear(0.01)
    return hosts


def schedule(centre: Centre, action: ScheduleAction, selector: Selector = Selector()) -> ScheduleRow:  # noqa: B008
    """Create a schedule for the next night, and make it due now."""
    schedules.create_schedule(
        centre.db,
        name="nightly",
        cron="0 3 * * *",
        zone="Europe/Berlin",
        action=action,
        selector=selector,
        by=BY,
        door=DOOR,
    )
    return schedules.run_schedule_now(centre.db, "nightly", by=BY, door=DOOR)


def test_two_hosts_cause_one_head_for_one_image(
    centre: Centre, two: list[ScriptedHost], registry: ScriptedRegistry, image: str
) -> None:
    checked = check(centre.db, asking=ASKING)
    assert checked.resolved == (image,)
    assert [(entry.method, entry.kind) for entry in registry.log if entry.kind == "manifests"] == [
        ("HEAD", "manifests")
    ]


def test_a_tag_is_not_asked_for_again_before_its_time(
    centre: Centre, two: list[ScriptedHost], registry: ScriptedRegistry
) -> None:
    check_due(centre.db, asking=ASKING, interval_s=3600)
    check_due(centre.db, asking=ASKING, interval_s=3600)
    assert len(registry.asked("manifests", "HEAD")) == 1
    check_due(centre.db, asking=ASKING, interval_s=0.001)
    assert len(registry.asked("manifests", "HEAD")) == 2


def test_what_another_asks_for_is_not_asked_for_twice(
    centre: Centre, two: list[ScriptedHost], registry: ScriptedRegistry, image: str
) -> None:
    assert tags.lease(centre.db, [image], centre.db.now(), 60) == [image]
    check(centre.db, asking=ASKING)
    assert registry.log == []


def test_a_moved_tag_is_told(centre: Centre, two: list[ScriptedHost], registry: ScriptedRegistry, image: str) -> None:
    assert check(centre.db, asking=ASKING).moved == ()
    registry.shelf.add_image("app", "1", layers=[b"two"])
    assert check(centre.db, asking=ASKING).moved == (image,)


def test_an_older_answer_that_holds_on_is_no_check_that_went_well(
    centre: Centre, two: list[ScriptedHost], registry: ScriptedRegistry, image: str
) -> None:
    assert str(check(centre.db, asking=ASKING)) == "1 tag checked, 0 moved"
    registry.shelf.repositories.clear()
    failed = check(centre.db, asking=ASKING)
    assert (failed.resolved, list(failed.failed), str(failed)) == ((), [image], "0 tags checked, 0 moved, 1 failed")
    known = tags.tag(centre.db, image)
    assert known is not None and known.digest, "what it last had is not forgotten"


def test_where_the_centre_is_refused_two_hosts_are_asked(centre: Centre) -> None:
    with ScriptedRegistry(access=Access(scheme="basic", username="u", password="p")) as private:
        image = f"{private.host}/app:1"
        hosts = [centre.add_host(name) for name in ("web-1", "web-2", "web-3")]
        for host in hosts:
            host.snapshot(nginx("app", reference=image))
        centre.turn()
        for host in hosts:
            host.hear(0.01)
        checked = check(centre.db, asking=ASKING)
        assert (checked.asked_hosts, checked.resolved) == ((image,), ())
        centre.turn()
        assert sorted(host.words() for host in hosts) == [[], ["resolve"], ["resolve"]]
        known = tags.tag(centre.db, image)
        assert known is not None
        assert known.reason.startswith("cannot read")


def test_a_check_waits_for_hosts_only_so_long(centre: Centre, clock: ManualClock) -> None:
    with ScriptedRegistry(access=Access(scheme="basic", username="u", password="p")) as private:
        centre.add_host("web-1").snapshot(nginx("app", reference=f"{private.host}/app:1"))
        centre.turn()
        check(centre.db, asking=ASKING, wait_s=5, clock=clock)
        assert 5 <= clock.monotonic() < 6


def test_a_schedule_that_looks_changes_nothing(
    centre: Centre, two: list[ScriptedHost], registry: ScriptedRegistry, image: str
) -> None:
    schedule(centre, ScheduleAction.CHECK)
    centre.turn()
    row = schedules.schedule(centre.db, "nightly")
    assert row.last_result == "1 tag checked, 0 moved"
    assert [s.freshness.value for s in outdated(centre.db, Selector()).standings] == ["outdated"] * 2
    assert queries.rollouts(centre.db).items == ()


def test_a_schedule_that_applies_makes_a_rollout_of_what_it_selects(centre: Centre, two: list[ScriptedHost]) -> None:
    schedule(centre, ScheduleAction.APPLY, Selector(hosts=("web-2",)))
    centre.turn()
    centre.turn()
    (rollout,) = queries.rollouts(centre.db).items
    assert rollout.asked_by == "schedule:nightly"
    assert "of 1 container" in schedules.schedule(centre.db, "nightly").last_result
    assert [host.words() for host in two] == [[], ["offer"]]


def test_a_schedule_runs_once_and_is_due_again_by_its_own_zone(centre: Centre, two: list[ScriptedHost]) -> None:
    schedule(centre, ScheduleAction.APPLY)
    centre.turn()
    centre.turn()
    assert len(queries.rollouts(centre.db).items) == 1
    due = schedules.schedule(centre.db, "nightly").next_run_at
    assert due is not None
    assert timedelta() < due - datetime.now(UTC) <= timedelta(days=1)
    assert due.astimezone(UTC).hour in (1, 2)


def test_a_schedule_with_nothing_to_do_says_so(
    centre: Centre, two: list[ScriptedHost], registry: ScriptedRegistry, image: str
) -> None:
    digest = str(registry.shelf.add_image("app", "1", layers=[b"one"]))
    for host in two:
        host.snapshot(nginx("app", digest, image))
    centre.turn()
    schedule(centre, ScheduleAction.APPLY)
    centre.turn()
    assert schedules.schedule(centre.db, "nightly").last_result == "nothing to update"


def test_a_schedule_that_fails_says_why_and_goes_on(centre: Centre, two: list[ScriptedHost]) -> None:
    schedule(centre, ScheduleAction.APPLY, Selector(hosts=("web-9",)))
    centre.turn()
    row = schedules.schedule(centre.db, "nightly")
    assert row.last_result == "cannot find a host 'web-9'; see: fleet host ls"
    assert row.next_run_at is not None


def test_a_registry_that_answers_nonsense_harms_no_tick(
    centre: Centre, two: list[ScriptedHost], registry: ScriptedRegistry, image: str
) -> None:
    registry.faults.add(Fault.STATUS, status=500)
    centre.planner.check()
    known = tags.tag(centre.db, image)
    assert known is not None
    assert (known.digest, "500" in known.reason) == ("", True)


def test_a_schedule_whose_zone_is_gone_runs_once_and_says_so(
    centre: Centre, two: list[ScriptedHost], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Distributions take old names out of their zones; it must not order updates every ten minutes from then on."""
    schedule(centre, ScheduleAction.CHECK)
    (due,) = schedules.claim_due(centre.db, centre.db.now())

    def gone(*_: object) -> datetime:
        raise BadInput("cannot use 'US/Pacific' as a time zone")

    monkeypatch.setattr(running, "next_run", gone)
    assert "not due any more: cannot use 'US/Pacific'" in running.run_due(centre.db, due, asking=ASKING)
    assert schedules.claim_due(centre.db, centre.db.now() + timedelta(days=365)) == []


def due(centre: Centre, ago: timedelta, **more: object) -> schedules.DueSchedule:
    """Return a claim of an hourly schedule that was due for the first time so long ago."""
    schedules.create_schedule(
        centre.db,
        name="hourly",
        cron="0 * * * *",
        zone="UTC",
        action=ScheduleAction.CHECK,
        selector=Selector(),
        by="person:anna",
        door="socket",
        **more,  # type: ignore[arg-type]
    )
    now = centre.db.now()
    first = next_run("0 * * * *", "UTC", now - ago)
    return schedules.DueSchedule(schedule=schedules.schedule(centre.db, "hourly"), due_at=first)


def test_runs_that_never_began_are_counted_and_one_makes_them_good(centre: Centre) -> None:
    claimed = due(centre, timedelta(hours=5))
    running.run_due(centre.db, claimed, asking=ASKING)
    row = schedules.schedule(centre.db, "hourly")
    assert (row.missed, row.last_result, row.last_run_at is not None) == (4, "0 tags checked, 0 moved", True)
    assert row.last_missed_at is not None
    assert row.next_run_at is not None
    assert row.next_run_at - row.last_missed_at == timedelta(hours=2)
    running.run_due(centre.db, claimed, asking=ASKING)
    assert schedules.schedule(centre.db, "hourly").missed == 8, "they are counted over all runs"


def test_a_run_that_is_too_late_is_missed(centre: Centre, monkeypatch: pytest.MonkeyPatch) -> None:
    claimed = due(centre, timedelta(hours=5), late=timedelta(microseconds=1000))
    running.run_due(centre.db, claimed, asking=ASKING)
    row = schedules.schedule(centre.db, "hourly")
    assert (row.missed, row.last_run_at) == (5, None)
    assert row.last_result.startswith("missed: it was due at ")


def test_after_more_missed_runs_than_are_counted_the_last_one_still_decides() -> None:
    now = datetime(2026, 11, 27, 5, 30, 20, tzinfo=UTC)
    times = running.due_times("* * * * *", "UTC", now.replace(second=0) - timedelta(days=10), now)
    assert (len(times), times[-1]) == (running.MOST_MISSED, now.replace(second=0))
    assert running.due_times("0 4 * * *", "UTC", now - timedelta(days=3), now)[-1] == now.replace(
        hour=4, minute=0, second=0
    )


def test_a_schedule_that_tells_keeps_a_plan_and_updates_nothing(centre: Centre, two: list[ScriptedHost]) -> None:
    check(centre.db, asking=ASKING)
    schedule(centre, ScheduleAction.TELL)
    centre.turn()
    told = schedules.schedule(centre.db, "nightly").last_result
    assert "of 2 containers on 2 hosts; carry it out with: fleet apply" in told
    assert queries.rollouts(centre.db).items == ()


def test_a_schedule_leaves_frozen_hosts_out_and_says_so(centre: Centre, two: list[ScriptedHost]) -> None:
    stops.create_stop(centre.db, StopKind.FREEZE, Selector(), reason="Black Friday", by=BY, door=DOOR)
    schedule(centre, ScheduleAction.APPLY)
    centre.turn()
    assert schedules.schedule(centre.db, "nightly").last_result == f"nothing to update: frozen by {BY}: Black Friday"
    assert queries.rollouts(centre.db).items == ()


def carry_out(centre: Centre, host: ScriptedHost, result: Result) -> None:
    """Let a host take what is offered to it to this end."""
    (offer,) = [opened.message for opened in host.hear() if isinstance(opened.message, Offer)]
    host.claim(offer.command)
    centre.turn()
    (order,) = [opened.message for opened in host.hear() if isinstance(opened.message, Order)]
    host.ready(order)
    centre.turn()
    for outcome in host.outcomes(order, result):
        host.say(outcome)
    centre.turn()


def test_a_schedule_leaves_to_people_what_is_under_way_and_what_went_back(
    centre: Centre, two: list[ScriptedHost], image: str
) -> None:
    """Or else a container would be down again each night for a digest that does not run here."""
    one = Selector(hosts=("web-1",))
    schedule(centre, ScheduleAction.APPLY, one)
    centre.turn()
    centre.turn()
    schedules.run_schedule_now(centre.db, "nightly", by=BY, door=DOOR)
    centre.turn()
    assert schedules.schedule(centre.db, "nightly").last_result == "nothing to update: rollout #1 brings it"
    carry_out(centre, two[0], Result.ROLLED_BACK)
    schedules.run_schedule_now(centre.db, "nightly", by=BY, door=DOOR)
    centre.turn()
    rolled_back = "rollout #1 brought it here, where it was rolled back"
    assert schedules.schedule(centre.db, "nightly").last_result == f"nothing to update: {rolled_back}"
    assert len(queries.rollouts(centre.db).items) == 1
    plan = plans.make_plan(centre.db, Selector(), by=BY).document
    assert (plan.containers, f"{rolled_back}: web-1/app" in plan.warnings) == (2, True)
