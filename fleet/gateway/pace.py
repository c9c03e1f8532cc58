"""How fast a body comes, over the last seconds (pure)."""

from collections import deque

_SAMPLES = 16
"""How many points of a window are kept: enough to see the last few seconds, whatever the chunks' size."""


class Pace:
    """Tells whether a body that began at *start* comes below a floor."""

    def __init__(self, start: float, *, floor_bytes_s: float, window_s: float) -> None:
        self._floor, self._window = floor_bytes_s, window_s
        self._points: deque[tuple[float, int]] = deque([(start, 0)])
        self._total = 0

    def add(self, now: float, count: int) -> None:
        """Take note of *count* bytes that came by *now*."""
        self._total += count
        if now - self._points[-1][0] >= self._window / _SAMPLES:
            self._points.append((now, self._total))
        while len(self._points) > 1 and now - self._points[1][0] >= self._window:
            self._points.popleft()

    def held(self, seconds: float) -> None:
        """Leave *seconds* out, in which nobody listened."""
        self._points = deque((at + seconds, total) for at, total in self._points)

    def too_slow(self, now: float) -> bool:
        """Tell whether a whole window passed in which fewer bytes came than the floor asks for."""
        since, before = self._points[0]
        return now - since >= self._window and self._total - before < self._floor * (now - since)
