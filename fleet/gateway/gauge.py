"""Looks at how fast one body comes: is it below the floor, and does one connection bring all that the line bears."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field

from fleet.clock import Clock
from fleet.gateway.limits import Limits
from fleet.gateway.pace import Pace
from fleet.gateway.verdict import failed
from fleet.mirrors.attempt import AttemptResult


@dataclass(slots=True, kw_only=True)
class Gauge:
    """Told of all that comes."""

    clock: Clock
    limits: Limits
    size: int
    """Where in the whole the bytes ended when the answer began."""
    began_at: float
    """When that was, by the monotonic clock: what a server thinks about before is no speed. Speed is that of all bytes since:
    those of a moment may have waited in somebody's buffer."""
    another: Callable[[], bool]
    """Whether a source is left that could go on."""
    flowing: Callable[[float], bool] | None
    """Told bytes in a second until it says that it knows enough; None: nobody asks."""
    _pace: Pace = field(init=False)
    _step: int = field(init=False)
    _look: int = field(init=False)
    """After how many bytes it is looked at next."""

    def __post_init__(self) -> None:
        """Begin with the first byte."""
        limits = self.limits
        self._pace = Pace(self.clock.monotonic(), floor_bytes_s=limits.floor_bytes_s, window_s=limits.floor_window_s)
        self._step = self._look = limits.flowing_bytes

    def until_look(self, size: int) -> int:
        """Return how many bytes after *size* it is to be told at the latest: soon while it is young, later at any time."""
        young = self.flowing is not None and self._step < self.limits.gauge_bytes
        return max(self.size + self._look - size, 1) if young else sys.maxsize

    def came(self, count: int, size: int, held_s: float = 0.0) -> None:
        """Take note of *count* bytes, be they of use or not, after which the whole is *size*; raise SourceFailed if slow.

        *held_s*: how long of that time they were waited for by nobody, since the disk took its time with those before.
        """
        now = self.clock.monotonic()
        self._pace.held(held_s)
        self._pace.add(now, count)
        if self.flowing and size - self.size >= self._look:
            enough = self.flowing((size - self.size) / max(now - self.began_at, 0.001))
            self.flowing = None if enough else self.flowing
            self._step = min(2 * self._step, self.limits.gauge_bytes)
            self._look = size - self.size + self._step
        if self._pace.too_slow(now) and self.another():
            raise failed(AttemptResult.SLOW, "it was slower than the floor")
