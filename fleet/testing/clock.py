"""A clock that stands until it is told to go on: who sleeps by it moves it."""

import threading
from datetime import UTC, datetime, timedelta

_BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


class ManualClock:
    """Tells a time that only ``sleep`` and ``advance`` move; safe to use from several threads."""

    def __init__(self, began: datetime = _BEGAN) -> None:
        """Stand at *began*."""
        self._began = began
        self._passed_s = 0.0
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """Return the present instant, aware, in UTC."""
        return self._began + timedelta(seconds=self._passed_s)

    def monotonic(self) -> float:
        """Return the seconds that have passed."""
        return self._passed_s

    def sleep(self, seconds: float) -> None:
        """Let *seconds* pass at once."""
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Let *seconds* pass at once."""
        with self._lock:
            self._passed_s += max(0.0, seconds)
