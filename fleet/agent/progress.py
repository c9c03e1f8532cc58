"""How far the host is, for those who watch: at most one small message a second, the latest wins, never history."""

from fleet.clock import Clock
from fleet.road.messages import Progress

EVERY_S = 1.0


class LatestProgress:
    """Room for one message; its owner keeps it from several threads."""

    def __init__(self, clock: Clock) -> None:
        """Hold nothing."""
        self._clock = clock
        self._held: Progress | None = None
        self._not_before = clock.monotonic()

    def put(self, progress: Progress) -> None:
        """Hold *progress* instead of what was held."""
        self._held = progress

    def clear(self) -> None:
        """Hold nothing: it came to an end, and the end has a message of its own."""
        self._held = None

    def take(self) -> Progress | None:
        """Return what may be said now, and hold it no longer."""
        if self._held is None or self.in_s() > 0:
            return None
        taken, self._held = self._held, None
        self._not_before = self._clock.monotonic() + EVERY_S
        return taken

    def in_s(self) -> float:
        """Return the seconds until something may be said; for ever, where nothing is held."""
        if self._held is None:
            return float("inf")
        return max(0.0, self._not_before - self._clock.monotonic())
