"""Quiet hours: what can wait comes when they end, whoever dies in between and whatever clocks do; nothing is lost."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from fleet.errors import BadInput
from fleet.history.notify import channels, conditions, deliveries, event_taking
from fleet.history.notify.channels import ChannelChange
from fleet.history.notify.conditions import Seen
from fleet.history.sql.database import Database
from fleet.history.tables.words import ChannelKind
from fleet.notify.examples import examples
from fleet.notify.quiet import Quiet, read_hours
from fleet.notify.rule import Rule
from fleet.notify.sent import later
from fleet.notify.severity import Severity
from fleet.notify.waits import GIVEN_UP_AFTER
from tests.history.conftest import HeldClock
from tests.history.world import BY

NIGHT = read_hours([{"start": "22:00", "duration": "9h", "tz": "Europe/Berlin"}])
EVENING = datetime(2026, 11, 25, 21, 30, tzinfo=UTC)
"""Half past ten in the evening in Berlin."""
MORNING = datetime(2026, 11, 26, 6, 0, tzinfo=UTC)


def add(db: Database, **quiet: Any) -> UUID:
    """Add a channel with quiet hours at night; return its id."""
    row = channels.add_channel(
        db,
        name="ops",
        kind=ChannelKind.APPRISE,
        address="ntfys://...",
        sealed="s",
        rule=Rule(),
        quiet=Quiet(hours=NIGHT, **quiet),
        **BY,
    )
    return row.id


def happens(db: Database, subject: str, severity: Severity) -> None:
    """Let a condition begin."""
    conditions.note(db, [Seen(code="x", subject=subject, severity=severity, title="A mirror", text="down")])
    event_taking.take_events(db, "urn:x")


def due(db: Database, id: UUID) -> list[str]:
    """Return what would be sent now, as the notifier finds it, and leave it unsent."""
    if deliveries.due_channels(db) != [id] or (channel := deliveries.claim_channel(db, id)) is None:
        return []
    deliveries.hold_quiet(db, channel)
    found = [row.told["subject"] for row in deliveries.waiting(db, id, 99)]
    deliveries.release_channel(db, id, gathers=True)
    return found


def test_what_can_wait_is_told_when_they_end_and_errors_at_once(db: Database, clock: HeldClock) -> None:
    clock.at = EVENING
    ops = add(db)
    happens(db, "m1", Severity.WARNING)
    assert due(db, ops) == []
    happens(db, "m2", Severity.ERROR)
    assert due(db, ops) == ["m2"]
    assert deliveries.due_channels(db) == [ops], "the error was not taken yet"
    (held,) = [row for row in deliveries.latest(db, ops, 9) if row.held_until]
    assert (held.held_until, held.until) == (MORNING, MORNING + GIVEN_UP_AFTER)
    clock.at = MORNING - timedelta(seconds=1)
    assert due(db, ops) == ["m2"]
    clock.at = MORNING
    assert set(due(db, ops)) >= {"m1", "m2"}, "one message of all"


def test_an_idle_notifier_does_not_look_at_what_is_held(db: Database, clock: HeldClock) -> None:
    clock.at = EVENING
    ops = add(db)
    happens(db, "m1", Severity.WARNING)
    assert due(db, ops) == []
    assert deliveries.due_channels(db) == []


def test_what_failed_in_the_evening_is_not_tried_at_night(db: Database, clock: HeldClock) -> None:
    clock.at = EVENING - timedelta(hours=1)
    ops = add(db)
    happens(db, "m1", Severity.WARNING)
    (row,) = deliveries.waiting(db, ops, 9)
    deliveries.note_came(db, ops, [row.event_id], later("it answered 500"))
    deliveries.release_channel(db, ops, gathers=True)
    clock.at = EVENING
    assert due(db, ops) == []
    clock.at = MORNING
    assert due(db, ops) == ["m1"]


def test_what_is_held_for_longer_than_a_day_is_not_given_up(db: Database, clock: HeldClock) -> None:
    clock.at = EVENING
    weekend = Quiet(hours=read_hours([{"start": "00:00", "duration": "5d", "days": ["wed"]}]))
    ops = add(db)
    channels.change_channel(db, "ops", ChannelChange(quiet=weekend), **BY)
    happens(db, "m1", Severity.WARNING)
    assert due(db, ops) == []
    clock.at = datetime(2026, 11, 29, 23, 59, tzinfo=UTC)
    assert deliveries.give_up_old(db) == 0
    clock.move(minutes=1)
    assert due(db, ops) == ["m1"]


def test_other_hours_are_looked_at_anew(db: Database, clock: HeldClock) -> None:
    clock.at = EVENING
    ops = add(db)
    happens(db, "m1", Severity.WARNING)
    assert due(db, ops) == []
    row = channels.change_channel(db, "ops", ChannelChange(quiet=Quiet(hours=NIGHT, passes=Severity.WARNING)), **BY)
    assert (row.quiet.passes, due(db, ops)) == (Severity.WARNING, ["m1"])


def test_where_nothing_passes_a_test_does(db: Database, clock: HeldClock) -> None:
    clock.at = EVENING
    ops = add(db, passes=None)
    assert channels.channel(db, "ops").quiet.passes is None
    happens(db, "m1", Severity.ERROR)
    assert due(db, ops) == []
    deliveries.ask_test(db, "ops", **BY)
    event_taking.take_events(db, "urn:x")
    assert due(db, ops) == ["ops"]


@pytest.mark.parametrize(
    ("now", "end"),
    [
        ("2026-11-25T21:00:00", "2026-11-26T06:00:00"),
        ("2026-11-25T20:59:59", None),
        ("2026-11-26T06:00:00", None),
        ("2026-03-29T00:59:59", "2026-03-29T06:00:00"),  # the night that is an hour shorter: nine hours are nine hours
        ("2026-10-25T01:30:00", "2026-10-25T05:00:00"),  # and the one that is longer
    ],
)
def test_they_hold_by_the_clocks_of_their_zone(now: str, end: str | None) -> None:
    found = Quiet(hours=NIGHT).until(datetime.fromisoformat(now).replace(tzinfo=UTC))
    assert found == (datetime.fromisoformat(end).replace(tzinfo=UTC) if end else None)


def test_hours_that_meet_are_one_time() -> None:
    hours = read_hours([{"start": "22:00", "duration": "9h"}, {"start": "06:00", "duration": "48h", "days": ["sat"]}])
    assert Quiet(hours=hours).until(datetime(2026, 11, 27, 23, 0, tzinfo=UTC)) == datetime(2026, 11, 30, 7, tzinfo=UTC)


@pytest.mark.parametrize(
    "hours",
    [
        {"start": "00:00", "duration": "24h"},
        {"start": "22:00", "duration": "9h", "tz": "host"},
        {"start": "22:00", "duration": "9h", "tz": "Mars/Olympus"},
        {"start": "22:00", "duration": "9h", "cutoff": "1h"},
        {"start": "25:00", "duration": "9h"},
        {"start": "22:00", "duration": "8d"},
    ],
)
def test_hours_that_cannot_be_are_refused(hours: dict[str, str]) -> None:
    with pytest.raises(BadInput, match="cannot use"):
        Quiet(hours=read_hours([hours])).check(EVENING)


def test_what_is_written_is_read_back() -> None:
    for quiet in (Quiet(), Quiet(hours=NIGHT, passes=None), Quiet(hours=NIGHT, passes=Severity.WARNING)):
        assert Quiet.parse(quiet.document(), quiet.passes) == quiet
    assert {each.type.value for each in examples() if not Quiet(passes=None).holds(each)} == {"channel.test"}
