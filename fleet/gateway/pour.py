"""The rest of a long body, read, written and hashed in a thread: all three leave the interpreter to others meanwhile."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

from fleet.clock import Clock
from fleet.gateway.gauge import Gauge
from fleet.registry.rest import Rest

ROOM_BYTES = 256 * 1024
"""How much is in memory at a time."""
GULP_S = 0.2
"""So often the event loop hears how far it is, and a pull that was given up ends."""

T = TypeVar("T")


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
                await _to_its_end(gulp.run)
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


async def _to_its_end(work: Callable[[], T]) -> T:
    """Run *work* in a thread, and wait for its end even where nobody wants it any more: it holds the file."""
    running = asyncio.ensure_future(asyncio.to_thread(work))
    given_up = False
    while not running.done():
        try:
            await asyncio.wait({running})
        except asyncio.CancelledError:
            given_up = True
    if given_up:
        running.exception()
        raise asyncio.CancelledError
    return running.result()
