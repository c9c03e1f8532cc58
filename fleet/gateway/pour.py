"""The rest of a long body, read and written in a thread, and hashed in another: all leave the interpreter to others meanwhile."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, runtime_checkable

from fleet.clock import Clock
from fleet.gateway.gauge import Gauge
from fleet.gateway.threads import to_their_ends
from fleet.registry.rest import Rest

ROOM_BYTES = 512 * 1024
"""How much is in memory at a time."""
GULP_S = 0.2
"""So often the event loop hears how far it is, and a pull that was given up ends."""
NEWS_BYTES = 4 * 1024 * 1024
"""So much is written before whoever hashes hears of it: to be woken costs a moment."""


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
    def follows(self) -> bool:
        """Whether ``follow`` does anything."""
        ...

    def follow(self, written: Callable[[int], int]) -> None:
        """Do what is to be done with the bytes behind whoever pours, in another thread; raise OSError.

        *written*, told how far this is, waits for more and returns how far there is some; no further: it is over.
        """
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
            gulp = _Gulp(self.rest, self.basin, self.clock, before, most)
            try:
                behind = [partial(self.basin.follow, gulp.written)] if self.basin.follows else []
                await to_their_ends(gulp.run, *behind)
            finally:
                self.basin.poured(gulp.got, self.source)
            if gulp.got:
                heard = self.clock.monotonic()
                self.gauge.came(gulp.got, self.basin.size, gulp.held_s)
            elif self.clock.monotonic() - heard >= self.silence_s:
                raise self.rest.stalled()


@dataclass(slots=True)
class _Gulp:
    """What one visit to a thread does."""

    rest: Rest
    basin: Basin
    clock: Clock
    at: int
    most: int
    got: int = 0
    held_s: float = 0.0
    """How long the basin took: no source is slow for that."""
    _over: bool = False
    _news: threading.Condition = field(default_factory=threading.Condition)

    def run(self) -> None:
        """Read and pour at most so many bytes, for about GULP_S seconds."""
        try:
            self._pour()
        finally:
            self._tell(over=True)

    def written(self, beyond: int) -> int:
        """Wait until much is written after *beyond*, and return where it ends; return *beyond* once all is over."""
        with self._news:
            self._news.wait_for(lambda: self._over or self.at + self.got >= beyond + NEWS_BYTES)
        return beyond if self._over else self.at + self.got

    def _pour(self) -> None:
        room, until = memoryview(bytearray(min(ROOM_BYTES, self.most))), time.monotonic() + GULP_S
        told = 0
        while self.got < self.most and (left_s := until - time.monotonic()) > 0:
            count = self.rest.read_into(room[: self.most - self.got], left_s)
            began = self.clock.monotonic()
            self.basin.pour(room[:count], self.at + self.got)
            self.held_s += self.clock.monotonic() - began
            self.got += count
            if self.got - told >= NEWS_BYTES:
                told = self.got
                self._tell()

    def _tell(self, *, over: bool = False) -> None:
        with self._news:
            self._over = over
            self._news.notify()
