"""How long a channel that failed is left alone (pure)."""

from datetime import timedelta

FIRST = timedelta(seconds=5)
LONGEST = timedelta(hours=1)
"""What was away for a night is tried again within the hour."""
GIVEN_UP_AFTER = timedelta(hours=24)
"""How long an event is tried to be told; who was away for longer looks at the history."""
_GROWS = 3


def wait(failures: int, asked: timedelta | None = None) -> timedelta:
    """Return how long a channel is left alone after so many *failures* in a row (1: the first).

    It is at least what the channel itself *asked* for (``Retry-After``), and an hour at most.
    """
    grown = FIRST * _GROWS ** min(failures - 1, 10) if failures > 0 else FIRST
    return min(max(grown, asked or timedelta()), LONGEST)
