"""The rest of a long body, read and written in a thread, and hashed in another: all leave the interpreter to others meanwhile."""

import time
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from fleet.clock import Clock
from fleet.gateway.gauge import Gauge
from fleet.gateway.threads import to_their_ends
from fleet.registry.rest import Rest

ROOM_BYTES = 256 * 1024
"""How much is in memory at a time."""
GULP_S = 0.2
"""So often the event loop hears how far it is, and a pull that was given up ends."""


@runtime_checkable
class Basin(Protocol):
    """What bytes are poured into: a sink in two steps, of which the first may be done by a thread."""

    @property
    def size(self) -> int:
        """Where in the whole the bytes so far end."""
        ...

    def pour(self, chunk: memoryview, at: int) -> None:
        """Write *chunk*, which goes on where the bytes before it end; raise OSError where there is no room."""
        ...

    def poured(self, count: int, source: str) -> None:
        """Count bytes that were poured; raise OSError where there is no room to write that down."""
        ...

    @property
    def behind(self) -> bool:
        """Whether there is something to ``follow``."""
        ...

    def follow(self) -> None:
        """Do what is still to be done with the bytes that count, which another thread may do; raise OSError."""
        ...


@dataclass(slots=True, kw_only=True)
class Pouring:
    """The rest of one body on its way into one basin."""

    rest: Rest
    basin: Basin
    source: str
    gauge: Gauge
    clock: Clock
    silence_s: float
    """How long nothing may come."""

    async def run(self, end: int) -> None:
        """Pour until the basin's bytes end at *end*, or the body does.

        Raise ExchangeFailed where it breaks off, SourceFailed where it is slow, OSError where there is no room.
        """
        heard = self.clock.monotonic()
        while (most := min(end - self.basin.size, self.rest.left)) > 0:
            before = self.basin.size
            most = min(most, self.gauge.until_look(before))
            gulp = _Gulp(self.rest, self.basin, before, most)
            try:
                await to_their_ends(gulp.run, *([self.basin.follow] if self.basin.behind else []))
            finally:
                self.basin.poured(gulp.got, self.source)
            if gulp.got:
                heard = self.clock.monotonic()
                self.gauge.came(gulp.got, self.basin.size)
            elif self.clock.monotonic() - heard >= self.silence_s:
                raise self.rest.stalled()


@dataclass(slots=True)
class _Gulp:
    """What one visit to a thread does."""

    rest: Rest
    basin: Basin
    at: int
    most: int
    got: int = 0

    def run(self) -> None:
        """Read and pour at most so many bytes, for about GULP_S seconds."""
        room, until = memoryview(bytearray(min(ROOM_BYTES, self.most))), time.monotonic() + GULP_S
        while self.got < self.most and (left_s := until - time.monotonic()) > 0:
            count = self.rest.read_into(room[: self.most - self.got], left_s)
            self.basin.pour(room[:count], self.at + self.got)
            self.got += count
