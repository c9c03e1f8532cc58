"""How long a channel that failed is left alone (pure)."""

from datetime import timedelta

FIRST = timedelta(seconds=5)
LONGEST = timedelta(hours=1)
"""What was away for a night is tried again within the hour."""
GIVEN_UP_AFTER = timedelta(hours=24)
"""How long an event is tried to be told; who was away for longer looks at the history."""
_GROWS = 3
GATHERED = timedelta(seconds=60)
"""How long a channel for people is left alone after a message: what fails in a row comes as one message."""
LONGEST_GATHERED = timedelta(minutes=15)
"""The same after many messages in a row: an image that fails on host after host for hours is a message now and then."""


def wait(failures: int, asked: timedelta | None = None) -> timedelta:
    """Return how long a channel is left alone after so many *failures* in a row (1: the first).

    It is at least what the channel itself *asked* for (``Retry-After``), and an hour at most.
    """
    grown = FIRST * _GROWS ** min(failures - 1, 10) if failures > 0 else FIRST
    return min(max(grown, asked or timedelta()), LONGEST)


def gathering(in_a_row: int) -> timedelta:
    """Return how long a channel for people is left alone after so many messages, each as soon as it might come."""
    return min(GATHERED * (1 << min(max(in_a_row - 1, 0), 10)), LONGEST_GATHERED)
