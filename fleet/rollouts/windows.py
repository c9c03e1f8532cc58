"""Windows and freezes: when containers may be recreated, right over the changes of daylight saving; pure.

A window opens once per scheduled local date. A start that a spring gap swallows is the first instant after the gap,
one that autumn repeats is the first; its length is elapsed time, and its end is not part of it. What cannot be
understood (a zone that this machine does not know) is shut, never open.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import ConfigDict, Field

from fleet.errors import BadInput
from fleet.rollouts.selector import Selector

HOST_ZONE = "host"
"""The zone of a window that each host reads in its own time."""

ZONE_LABEL = "timezone"
"""The label of a host that names its time zone, for windows in its own time; without it the zone is UTC."""

_FORBID = ConfigDict(extra="forbid")
_DAY = timedelta(days=1)
_DAY_MS = 86_400_000

_FIRST = datetime(1, 1, 2, tzinfo=UTC)
"""Before it a zone's offset would lead out of the calendar."""

Interval = tuple[datetime, datetime]
"""From the first instant to the first one after it, both in UTC."""


class Day(StrEnum):
    """A day of the week, in the window's own zone."""

    MON = "mon"
    TUE = "tue"
    WED = "wed"
    THU = "thu"
    FRI = "fri"
    SAT = "sat"
    SUN = "sun"


DAYS = tuple(Day)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A time that comes again on certain days."""

    __pydantic_config__ = _FORBID

    days: Annotated[tuple[Day, ...], Field(min_length=1)] = DAYS
    """The local dates on which it starts, by their day of the week."""
    start: Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
    """Wall-clock time, such as 22:00."""
    duration_ms: Annotated[int, Field(strict=True, gt=0, le=7 * _DAY_MS)]
    """Elapsed time, whatever clocks do meanwhile."""
    zone: str = "UTC"
    """A name such as Europe/Berlin, or host."""
    cutoff_ms: Annotated[int, Field(strict=True, ge=0, le=7 * _DAY_MS)] | None = None
    """How long before its end nothing is begun any more; None: as long as a recreate may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze:
    """A time in which nothing is touched."""

    __pydantic_config__ = _FORBID

    begins_at: datetime
    ends_at: datetime
    """The first instant after it."""
    selector: Selector = field(default_factory=Selector)
    """Which hosts; empty: all."""
    reason: str = ""

    def __post_init__(self) -> None:
        """Refuse what is no time."""
        if self.begins_at.tzinfo is None or self.ends_at.tzinfo is None:
            raise ValueError("a freeze needs times with a zone, such as 2026-12-24T00:00:00Z")
        if self.ends_at <= self.begins_at:
            raise ValueError("a freeze must end after it begins")


def zone_named(name: str) -> ZoneInfo:
    """Return the time zone; raises BadInput for one that this machine does not know."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise BadInput(f"cannot use {name[:80]!r} as a time zone; give a name such as Europe/Berlin or UTC") from None


def opening(on: date, at: time, zone: ZoneInfo) -> datetime | None:
    """Return the instant, in UTC, at which a window opens on a local date; None where that date does not exist there.

    Inside a gap it is the first instant after it; of two instants with one name it is the first.
    """
    wall = datetime.combine(on, at)
    first = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if first.astimezone(zone).replace(tzinfo=None) == wall:
        return first
    after = _end_of_gap(first, zone)
    # A zone that crossed the date line has no instant on this date at all, and so no opening on it.
    return after if after.astimezone(zone).date() == on or _gap_begins_on(after, on, zone) else None


def _end_of_gap(inside: datetime, zone: ZoneInfo) -> datetime:
    """Return the first instant after the gap that *inside* was computed from: where the offset changes, to the second."""
    low, high = inside - _DAY, inside + _DAY
    before = low.astimezone(zone).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = (low + (high - low) / 2).replace(microsecond=0)
        if middle.astimezone(zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return high


def _gap_begins_on(after: datetime, on: date, zone: ZoneInfo) -> bool:
    """Tell whether the gap that ends at *after* swallowed only the end of the date *on*."""
    return (after - timedelta(seconds=1)).astimezone(zone).date() == on


def occurrences(window: Window, zone: str, since: datetime, until: datetime) -> tuple[Interval, ...]:
    """Return when the window is open at some time in [since, until), in order; none where the zone is not known."""
    try:
        there = zone_named(zone if window.zone == HOST_ZONE else window.zone)
    except BadInput:
        return ()
    length = timedelta(milliseconds=window.duration_ms)
    at = time.fromisoformat(window.start)
    # Two days more than its length, since a gap and the offset itself may each move an opening by a day.
    on = (since - length).astimezone(there).date() - 2 * _DAY
    last = until.astimezone(there).date() + 2 * _DAY
    found = []
    while on <= last:
        if DAYS[on.weekday()] in window.days and (begin := opening(on, at, there)) is not None:
            end = begin + length
            if begin < until and end > since:
                found.append((begin, end))
        on += _DAY
    return tuple(sorted(found))


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """When one host may be recreated: what its rollout says of windows and freezes, and its own policy of windows."""

    windows: tuple[Window, ...] = ()
    own: tuple[Window, ...] = ()
    """The windows that the policy of the host gives it; where both have some, one of each must be open."""
    freezes: tuple[Freeze, ...] = ()
    apply_ms: int
    """How long a recreate may take; it must be over before a window is, and before a freeze begins."""

    def for_host(self, name: str, labels: dict[str, str], own: tuple[Window, ...] = ()) -> "Times":
        """Return the same with only those freezes that mean this host, and with the windows of its *own* policy."""
        return replace(self, own=own, freezes=tuple(f for f in self.freezes if f.selector.takes_host(name, labels)))

    def bind(self) -> bool:
        """Tell whether there is any time at which a recreate may not begin."""
        return bool(self.windows or self.own or self.freezes)

    def missed(self, since: datetime, until: datetime, zone: str) -> int:
        """Return how many times in which a recreate might have begun were open since *since*, and are over at *until*."""
        spans = self.spans(since, until + timedelta(microseconds=1), zone) if self.bind() else ()
        return sum(end <= until for _, end in spans)

    def admits(self, at: datetime, zone: str) -> bool:
        """Tell whether a recreate may begin at *at* on a host in *zone*."""
        return any(begin <= at < end for begin, end in self.spans(at, at + timedelta(microseconds=1), zone))

    def next_admissible(self, since: datetime, until: datetime, zone: str) -> datetime | None:
        """Return the first instant in [since, until) at which a recreate may begin; None: there is none."""
        spans = self.spans(since, until, zone)
        return max(spans[0][0], since) if spans else None

    def spans(self, since: datetime, until: datetime, zone: str) -> tuple[Interval, ...]:
        """Return when a recreate may begin within [since, until): disjoint, in order."""
        open_ = both(self._open(self.windows, since, until, zone), self._open(self.own, since, until, zone))
        # A recreate that is over at the very instant at which a freeze begins does not reach into it.
        fits = max(timedelta(milliseconds=self.apply_ms) - timedelta(microseconds=1), timedelta())
        # Times at the end of the calendar have nothing before them.
        shut = [(max(f.begins_at, _FIRST + fits) - fits, f.ends_at) for f in self.freezes]
        return without(open_, joined(shut))

    def _open(self, windows: tuple[Window, ...], since: datetime, until: datetime, zone: str) -> tuple[Interval, ...]:
        if not windows:
            return ((since, until),)
        found = []
        for window in windows:
            cutoff = timedelta(milliseconds=self.apply_ms if window.cutoff_ms is None else window.cutoff_ms)
            for begin, end in occurrences(window, zone, since, until):
                # The last instant at which a recreate fits is part of it.
                last = min(end, end - cutoff + timedelta(microseconds=1))
                if max(begin, since) < min(last, until):
                    found.append((max(begin, since), min(last, until)))
        return joined(found)


def joined(intervals: Iterable[Interval]) -> tuple[Interval, ...]:
    """Return the same instants as disjoint intervals in order."""
    found: list[Interval] = []
    for begin, end in sorted(intervals):
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((begin, end))
    return tuple(found)


def both(some: Sequence[Interval], others: Sequence[Interval]) -> tuple[Interval, ...]:
    """Return the instants that are in both; each is disjoint and in order."""
    met = ((max(a[0], b[0]), min(a[1], b[1])) for a in some for b in others)
    return tuple(sorted((begin, end) for begin, end in met if begin < end))


def without(intervals: Sequence[Interval], cut: Sequence[Interval]) -> tuple[Interval, ...]:
    """Return the instants of *intervals* that are in none of *cut*; both are disjoint and in order."""
    found = []
    for begin, end in intervals:
        at = begin
        for shut, open_again in cut:
            if open_again <= at or shut >= end:
                continue
            if shut > at:
                found.append((at, shut))
            at = max(at, open_again)
        if at < end:
            found.append((at, end))
    return tuple(found)
