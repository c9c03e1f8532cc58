"""Windows and freezes keep to their zone's clock, over every change of it; what cannot be understood is shut."""

import json
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.rollouts.selector import Selector
from fleet.rollouts.windows import Day, Freeze, Times, Window, joined, occurrences, opening, without

_TABLE: list[dict[str, Any]] = json.loads(Path(__file__).with_name("zones.json").read_text(encoding="utf-8"))
HOUR_MS = 3_600_000
MINUTES_15 = 15 * 60_000
DAY = timedelta(days=1)
NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
NIGHT = Window(start="22:00", duration_ms=6 * HOUR_MS)


@pytest.mark.parametrize("row", _TABLE, ids=lambda row: row["fact"])
def test_a_window_opens_by_the_clock_of_its_zone(row: dict[str, Any]) -> None:
    on, zone = date.fromisoformat(row["date"]), ZoneInfo(row["zone"])
    opens = opening(on, time.fromisoformat(row["start"]), zone)
    assert opens == (datetime.fromisoformat(row["opens"]) if row["opens"] else None)
    window = Window(start=row["start"], duration_ms=row["hours"] * HOUR_MS, zone=row["zone"], days=(_day(on),))
    midday = datetime.combine(on, time(12), tzinfo=UTC)
    found = occurrences(window, "UTC", midday - 3 * DAY, midday + 3 * DAY)
    assert found == (((opens, opens + timedelta(hours=row["hours"])),) if opens else ())
    if "ends_by_the_clock" in row:
        ends = [end.astimezone(zone).replace(tzinfo=None) for _, end in found]
        assert ends == [datetime.fromisoformat(row["ends_by_the_clock"])]


def _day(on: date) -> Day:
    return Day(on.strftime("%a").lower())


_ZONES = sorted({row["zone"] for row in _TABLE})


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(_ZONES),
    st.times(),
    st.integers(1, 48),
    st.datetimes(datetime(2005, 1, 1), datetime(2030, 1, 1)),  # noqa: DTZ001 (a zone is added below)
)
def test_a_window_has_one_occurrence_for_each_local_date_and_its_exact_length(
    zone: str, start: time, hours: int, naive: datetime
) -> None:
    """Invariant 21; only a date that does not exist has none."""
    since = naive.replace(tzinfo=UTC)
    until = since + 20 * DAY
    window = Window(start=start.strftime("%H:%M"), duration_ms=hours * HOUR_MS, zone=zone)
    found = occurrences(window, "UTC", since, until)
    assert all(end - begin == timedelta(hours=hours) for begin, end in found)
    there = ZoneInfo(zone)
    wanted = []
    on = (since - timedelta(hours=hours)).astimezone(there).date() - 2 * DAY
    while on <= until.astimezone(there).date() + 2 * DAY:
        at = opening(on, time.fromisoformat(window.start), there)
        if at is not None and at < until and at + timedelta(hours=hours) > since:
            wanted.append(at)
        on += DAY
    assert [begin for begin, _ in found] == sorted(wanted)
    for at in wanted:
        assert at.astimezone(there).utcoffset() is not None
    inside = [begin for begin in wanted if since <= begin < until]
    days = {(since + n * DAY).astimezone(there).date() for n in range(2, 18)}
    opened = {begin.astimezone(there).date() for begin in inside}
    gone = {day for day in days if opening(day, time.fromisoformat(window.start), there) is None}
    assert days - gone <= opened | {day + DAY for day in gone} | {day for day in days if day - DAY in gone}


def test_a_go_is_only_where_a_recreate_fits_before_the_end() -> None:
    times = Times(windows=(NIGHT,), apply_ms=MINUTES_15)
    begin, end = NOON.replace(hour=22), NOON.replace(hour=22) + timedelta(hours=6)
    instant = timedelta(microseconds=1)
    assert not times.admits(begin - instant, "UTC")
    assert times.admits(begin, "UTC")
    assert times.admits(end - timedelta(minutes=15), "UTC")
    assert not times.admits(end - timedelta(minutes=15) + instant, "UTC")


def test_a_window_without_a_cutoff_is_half_open() -> None:
    night = Window(start="22:00", duration_ms=HOUR_MS, cutoff_ms=0)
    times = Times(windows=(night,), apply_ms=MINUTES_15)
    assert times.admits(NOON.replace(hour=22, minute=59, second=59), "UTC")
    assert not times.admits(NOON.replace(hour=23), "UTC")


def test_a_freeze_shuts_from_where_a_recreate_would_reach_into_it() -> None:
    freeze = Freeze(begins_at=NOON, ends_at=NOON + DAY)
    times = Times(freezes=(freeze,), apply_ms=MINUTES_15)
    assert times.admits(NOON - timedelta(minutes=15), "UTC")
    assert not times.admits(NOON - timedelta(minutes=14), "UTC")
    assert not times.admits(NOON + DAY - timedelta(seconds=1), "UTC")
    assert times.admits(NOON + DAY, "UTC")


def test_a_freeze_since_the_beginning_of_the_calendar_shuts_and_breaks_nothing() -> None:
    ever = Freeze(begins_at=datetime(1, 1, 1, tzinfo=UTC), ends_at=NOON + DAY)
    times = Times(freezes=(ever,), apply_ms=MINUTES_15)
    assert not times.admits(NOON, "UTC")
    assert times.next_admissible(NOON, NOON + 14 * DAY, "UTC") == NOON + DAY


def test_a_freeze_of_some_hosts_leaves_the_others_alone() -> None:
    freeze = Freeze(begins_at=NOON, ends_at=NOON + DAY, selector=Selector(labels={"site": "a"}))
    times = Times(freezes=(freeze,), apply_ms=0)
    assert not times.for_host("x", {"site": "a"}).admits(NOON, "UTC")
    assert times.for_host("x", {"site": "b"}).admits(NOON, "UTC")


def test_the_next_admissible_instant_is_found_past_freezes_and_shut_days() -> None:
    friday = Window(start="22:00", duration_ms=2 * HOUR_MS, days=(Day.FRI,))
    freeze = Freeze(begins_at=NOON, ends_at=NOON + 5 * DAY)
    times = Times(windows=(friday,), freezes=(freeze,), apply_ms=MINUTES_15)
    # 25 November 2026 is a Wednesday; the first Friday is frozen.
    assert times.next_admissible(NOON, NOON + 14 * DAY, "UTC") == datetime(2026, 12, 4, 22, tzinfo=UTC)
    assert times.next_admissible(NOON, NOON + 5 * DAY, "UTC") is None


def test_a_host_reads_its_own_clock_and_one_with_a_bad_zone_is_shut() -> None:
    times = Times(windows=(Window(start="22:00", duration_ms=HOUR_MS, zone="host"),), apply_ms=0)
    assert times.admits(NOON.replace(hour=13, minute=30), "Asia/Tokyo")
    assert not times.admits(NOON.replace(hour=13, minute=30), "UTC")
    assert not times.admits(NOON.replace(hour=22), "Nowhere/At_All")


@pytest.mark.parametrize("times", [("a", "a"), ("b", "a")])
def test_a_freeze_that_does_not_end_after_it_begins_is_refused(times: tuple[str, str]) -> None:
    at = {"a": NOON, "b": NOON + DAY}
    with pytest.raises(ValueError, match="end after it begins"):
        Freeze(begins_at=at[times[0]], ends_at=at[times[1]])


_INTERVALS = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 6)), max_size=6).map(
    lambda pairs: joined((NOON + timedelta(hours=at), NOON + timedelta(hours=at + long)) for at, long in pairs)
)


@given(_INTERVALS, _INTERVALS)
def test_cutting_intervals_leaves_what_is_in_the_first_and_not_in_the_second(first: Any, second: Any) -> None:
    left = without(first, second)
    for hours in range(40):
        at = NOON + timedelta(hours=hours, minutes=30)

        def inside(intervals: Any, at: datetime = at) -> bool:
            return any(begin <= at < end for begin, end in intervals)

        assert inside(left) == (inside(first) and not inside(second))
