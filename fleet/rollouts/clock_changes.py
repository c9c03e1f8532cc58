"""What daylight saving does to what runs by the clock: times that a night does not have, and times that it has twice."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from fleet.errors import BadInput
from fleet.rollouts.cron import named_after, names, next_run
from fleet.rollouts.windows import zone_named

AHEAD = timedelta(days=366)
"""How far is looked ahead: every zone that changes its clocks does so within a year."""
_DAY, _MINUTE, _SECOND = timedelta(days=1), timedelta(minutes=1), timedelta(seconds=1)


def local(zone: str, at: datetime) -> str:
    """Return what the clocks of *zone* show at an instant, with their offset: ``2026-11-28 02:30 +01:00``."""
    shown = at.astimezone(zone_named(zone))
    return f"{shown:%Y-%m-%d %H:%M} {shown.isoformat()[-6:]}"


def note(cron: str, zone: str, at: datetime) -> str:
    """Return how the run at *at* differs from what *cron* names, since clocks are changed that night; empty: it does not."""
    shown = at.astimezone(zone_named(zone))
    forward = _offset(zone, at) - _offset(zone, at - _SECOND)
    wall = shown.replace(tzinfo=None)
    if forward > timedelta() and not names(cron, wall):
        named = named_after(cron, wall - forward - _MINUTE)
        return f"{named:%H:%M} does not exist in {zone} on {named:%Y-%m-%d}; it runs at {wall:%H:%M}"
    again = shown.replace(fold=1)
    if again.utcoffset() != shown.utcoffset() and not _runs_at(cron, zone, again.astimezone(UTC)):
        return f"{wall:%H:%M} comes twice in {zone} on {wall:%Y-%m-%d}; it runs once, at the first"
    return ""


def notes(cron: str, zone: str, after: datetime) -> tuple[str, ...]:
    """Return the notes of all runs within a year after *after* that clocks change; raises BadInput for a cron or zone."""
    return tuple(found for at in _changed(zone, after) for found in _notes_at(cron, zone, at))


def _notes_at(cron: str, zone: str, change: datetime) -> Iterator[str]:
    """Yield the notes of the runs that the change of clocks at an instant reaches."""
    back = _offset(zone, change - _SECOND) - _offset(zone, change)
    at = change - max(back, timedelta()) - _SECOND
    try:
        while (at := next_run(cron, zone, at)) <= change and (found := note(cron, zone, at)):
            yield found
    except BadInput:
        return  # it never fires again


def _changed(zone: str, after: datetime) -> Iterator[datetime]:
    """Yield the instants, to the minute, within a year at which the zone's offset changes."""
    first = after.astimezone(UTC).replace(second=0, microsecond=0)
    for days in range(AHEAD.days):
        begin, end = first + days * _DAY, first + (days + 1) * _DAY
        if _offset(zone, begin) == _offset(zone, end):
            continue
        while end - begin > _MINUTE:
            middle = begin + (end - begin) // 2 // _MINUTE * _MINUTE
            begin, end = (middle, end) if _offset(zone, middle) == _offset(zone, begin) else (begin, middle)
        yield end


def _offset(zone: str, at: datetime) -> timedelta:
    return at.astimezone(zone_named(zone)).utcoffset() or timedelta()


def _runs_at(cron: str, zone: str, at: datetime) -> bool:
    return next_run(cron, zone, at - _SECOND) == at
