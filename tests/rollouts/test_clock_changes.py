"""What people are told of runs in the nights in which clocks are changed."""

from datetime import UTC, datetime, timedelta

import pytest

from fleet.errors import BadInput
from fleet.rollouts.clock_changes import AHEAD, local, note, notes
from fleet.rollouts.cron import next_run

PARIS = "Europe/Paris"
NOW = datetime(2026, 7, 1, tzinfo=UTC)


def test_a_time_that_comes_twice_runs_once_and_one_that_does_not_come_runs_after() -> None:
    assert notes("30 2 * * *", PARIS, NOW) == (
        "02:30 comes twice in Europe/Paris on 2026-10-25; it runs once, at the first",
        "02:30 does not exist in Europe/Paris on 2027-03-28; it runs at 03:00",
    )


@pytest.mark.parametrize(
    ("cron", "zone"),
    [
        ("30 4 * * *", PARIS),  # not in that hour
        ("30 2 * * 1-5", PARIS),  # not on a Sunday
        ("30 2 * * *", "UTC"),
        ("30 2 * * *", "Asia/Tokyo"),
        ("*/30 * * * *", PARIS),  # by the time that passes, also in those nights
        ("0 3 * * *", PARIS),  # the first instant after the gap is its own time
    ],
)
def test_where_nothing_differs_nothing_is_said(cron: str, zone: str) -> None:
    assert notes(cron, zone, NOW) == ()


def test_each_run_of_an_hour_that_comes_twice_is_told_of() -> None:
    (first, second, *_) = notes("15,45 1 * * *", "Europe/London", NOW)
    assert (first[:5], second[:5]) == ("01:15", "01:45")


def test_half_an_hour_is_a_change_too() -> None:
    assert notes("15 2 * * *", "Australia/Lord_Howe", NOW) == (
        "02:15 does not exist in Australia/Lord_Howe on 2026-10-04; it runs at 02:30",
    )


def test_a_run_of_an_ordinary_night_has_no_note() -> None:
    at = next_run("30 2 * * *", PARIS, NOW)
    assert note("30 2 * * *", PARIS, at) == ""


@pytest.mark.parametrize("zone", [PARIS, "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "UTC"])
def test_notes_are_those_of_the_runs_themselves(zone: str) -> None:
    """Looking at each change of clocks finds what looking at each run finds."""
    cron, at, found = "15 2 * * *", NOW, []
    while (at := next_run(cron, zone, at)) < NOW + AHEAD - timedelta(days=1):
        found += [text] if (text := note(cron, zone, at)) else []
    assert notes(cron, zone, NOW) == tuple(found)


def test_the_local_time_is_told_with_its_offset() -> None:
    assert local(PARIS, NOW) == "2026-07-01 02:00 +02:00"
    assert local("America/St_Johns", NOW) == "2026-06-30 21:30 -02:30"


def test_what_is_no_zone_is_refused() -> None:
    with pytest.raises(BadInput):
        notes("0 3 * * *", "Mars/Olympus", NOW)
