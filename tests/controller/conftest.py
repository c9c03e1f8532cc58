"""What the controller's tests share: a clock that goes when told to, and a place for state."""

from datetime import UTC, datetime, timedelta

import pytest

START = datetime(2026, 11, 2, 12, tzinfo=UTC)


class HandClock:
    """A clock that only the test moves."""

    def __init__(self) -> None:
        self.passed_s = 0.0

    def now(self) -> datetime:
        """Return the start and what has passed since."""
        return START + timedelta(seconds=self.passed_s)

    def monotonic(self) -> float:
        """Return what has passed."""
        return self.passed_s

    def sleep(self, seconds: float) -> None:
        """Let time pass at once."""
        self.passed_s += seconds


@pytest.fixture
def clock() -> HandClock:
    """Begin at a fixed instant."""
    return HandClock()
