"""Numbers and times that hosts wrote, made fit to be kept: no column must refuse one, no sum of them overflow, no calendar end at one.

What no honest host says is brought to the nearest end: its row is wrong then, and no one else's.
"""

from datetime import UTC, datetime

MOST = 1_000_000
"""Requests of one source in one pull, HTTP statuses, and whatever else is counted."""
MOST_BYTES = 2**40
MOST_MS = 30 * 86_400_000
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(9999, 12, 30, tzinfo=UTC)
"""A day before the end of the calendar, which certificates without an end name: in other zones it is later."""


def count(number: int) -> int:
    """Return a number of things as it may be kept."""
    return max(0, min(number, MOST))


def size(number: int) -> int:
    """Return a number of bytes as it may be kept."""
    return max(0, min(number, MOST_BYTES))


def lasted(ms: int | None) -> int | None:
    """Return a duration in milliseconds as it may be kept; None stays as it is."""
    return ms if ms is None else max(0, min(ms, MOST_MS))


def moment(at: datetime) -> datetime:
    """Return an instant as it may be kept; one without a zone is taken for UTC."""
    aware = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    # Compared before it is turned into UTC, which ends the program's own calendar for some.
    return max(EARLIEST, min(aware, LATEST))
