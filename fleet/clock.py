"""Time as an argument: code takes a Clock, so that tests never sleep and no decision reads the wall by itself."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Tells the time, and waits."""

    def now(self) -> datetime:
        """Return the present instant, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds from an arbitrary start that never go back."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait *seconds*."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """Return the present instant, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds from an arbitrary start that never go back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait *seconds*."""
        time.sleep(seconds)


def since_ms(clock: Clock, started: float) -> int:
    """Return the whole milliseconds since *started*, a reading of ``clock.monotonic()``."""
    return round((clock.monotonic() - started) * 1000)
