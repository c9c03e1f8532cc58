"""The pieces of one large blob that are fetched beside the one whose turn it is, over connections of their own.

A source that gives so much a connection gives that several times; one that gives all that the line bears over a single
connection is asked for long pieces instead. What was fetched ahead waits in the file until the bytes before it are there;
who fails ahead is not asked ahead again, and whoever has the turn goes on from there.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from fleet.gateway.limits import Limits
from fleet.gateway.sink import SpoolFile
from fleet.gateway.threads import all_ended
from fleet.gateway.verdict import SourceFailed, Verdict
from fleet.mirrors.attempt import AttemptResult
from fleet.mirrors.source import Source

log = logging.getLogger(__name__)

_AS_BAD_FOR_ALL = frozenset(
    {AttemptResult.TIMEOUT, AttemptResult.STALLED, AttemptResult.UNREACHABLE, AttemptResult.SLOW}
)
"""What would happen to the next request too, and would cost its seconds once more."""
_NEARLY = 0.25
"""What comes with this part of the speed that would do is looked at again before others are asked beside it."""
_DOUBTS = 2
"""So often."""
_FINER = 4
"""The end of a blob is cut so much finer, or most connections would wait there for the last pieces of a few."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes from *start* up to *end*."""

    start: int
    end: int


class Stretch:
    """Takes in the bytes of one piece, in order, at their place in the blob's file; a sink to whoever fetches them."""

    def __init__(self, file: SpoolFile, piece: Piece) -> None:
        self._file, self.piece = file, piece
        self.size = piece.start
        """Where in the blob the bytes so far end."""

    def append(self, chunk: bytes, source: str) -> None:
        """Take in more bytes; raise OSError where there is no room."""
        self._file.lay(chunk, self.size, source)
        self.size += len(chunk)

    def pour(self, chunk: memoryview, at: int) -> None:
        """Write bytes, in a thread; raise OSError where there is no room."""
        self._file.write(chunk, at)

    def poured(self, count: int, source: str) -> None:
        """Count them."""
        self._file.laid(count, self.size, source)
        self.size += count

    @property
    def follows(self) -> bool:
        """Nothing is to be done with bytes that do not count yet."""
        return False

    def follow(self, written: Callable[[int], int]) -> None:
        """Do nothing."""


Fetcher = Callable[[Source, Stretch], Awaitable[None]]
"""Fills a stretch from a source; raises SourceFailed where it gives less."""


@dataclass(slots=True, kw_only=True)
class Ahead:
    """What is fetched ahead of one blob; belongs to whoever fetches the blob, and ends with ``end``."""

    file: SpoolFile
    size: int
    fetch: Fetcher
    spare: "asyncio.Semaphore"
    """How many more connections the gateway may have for this."""
    limits: Limits
    failed: Callable[[Source, Verdict], None]
    """Told of what a source failed by, where nobody else will find out."""
    _taken: set[int] = field(default_factory=set)
    _running: dict[int, "asyncio.Task[None]"] = field(default_factory=dict)
    """By the start of the piece."""
    _verdicts: dict[str, Verdict] = field(default_factory=dict)
    _barred: set[str] = field(default_factory=set)
    """Sources that are not asked ahead again."""
    _ample: bool = False
    """Whether one connection brings all that the line bears."""
    _doubts: int = 0
    """How often it was nearly so since it was so."""
    _lent: set[int] = field(default_factory=set)
    """Further pieces that whoever has the turn asked for in one request."""
    _stopped: bool = False
    _joined: bool = False
    """Whether whoever has the turn waits, and its own connection is free for one more piece."""

    def turn(self, offset: int) -> int:
        """Return where the piece ends that goes on at *offset*; nobody fetches it ahead from now on."""
        self._taken -= self._lent
        start = self._start(offset)
        end = self._piece(start).end
        self._lent = set()
        longest = start + self.limits.long_pieces * self.limits.piece_bytes
        while self._ample and end < min(self.size, longest) and end not in self._taken:
            self._lent.add(end)
            end = self._piece(end).end
        self._taken |= {start, *self._lent}
        return end

    def flows(self, source: Source, bytes_s: float) -> bool:
        """Take note of how fast the piece comes whose turn it is; return whether that is enough to know."""
        self._ample = bytes_s >= self.limits.ample_bytes_s
        if self._ample:
            self._doubts = 0
            return False
        if bytes_s >= self.limits.ample_bytes_s * _NEARLY and self._doubts < _DOUBTS:
            # A connection is slow while it is young: a moment more, and it may bring all that the line bears.
            self._doubts += 1
            return False
        # A thin line would only be cut into thinner ones, until each is below the floor.
        if bytes_s >= self.limits.fast_bytes_s:
            self.send_out(source)
        return True

    def send_out(self, source: Source) -> None:
        """Begin to fetch the next pieces from *source*, over as many connections as there may be."""
        most = self.limits.connections if self._joined else self.limits.connections - 1
        while len(self._running) < most and not self.spare.locked():
            piece = self._next()
            if piece is None or self._stopped or source.name in self._barred:
                return
            self._taken.add(piece.start)
            self._running[piece.start] = asyncio.create_task(self._run(source, piece))

    async def join(self, source: Source) -> None:
        """Wait for who fetches what comes next, and take in what is there; meanwhile *source* is asked for one piece more."""
        self._joined = True
        try:
            while (size := self.file.size) < self.size:
                task = self._running.get(self._start(size))
                if task is not None:
                    self.send_out(source)
                    await asyncio.wait({task})
                await self.file.absorb()
                if self.file.size == size:
                    return
        finally:
            self._joined = False

    def verdict(self, source: Source) -> Verdict | None:
        """Return what *source* failed by ahead, once, where it would fail by it again."""
        return self._verdicts.pop(source.name, None)

    async def end(self) -> None:
        """End every request, begin none, and forget what waits for its turn; then nobody here writes into the file."""
        self._stopped = True
        running = list(self._running.values())
        for task in running:
            task.cancel()
        try:
            # A thread writes on until it hears of this: over bytes that were hashed, or into a file that is closed.
            await all_ended(running)
        finally:
            self.file.forget_ahead()

    def _start(self, offset: int) -> int:
        """Return where the piece begins that *offset* is in."""
        return offset - offset % self._step(offset)

    def _next(self) -> Piece | None:
        start = self._start(self.file.size)
        while start < self.size and start in self._taken:
            start = self._piece(start).end
        return self._piece(start) if start < self.size else None

    def _piece(self, start: int) -> Piece:
        return Piece(start, min(start + self._step(start), self.size))

    def _step(self, offset: int) -> int:
        """Return how long the pieces are where *offset* is."""
        whole = self.limits.piece_bytes
        fine = self.size // whole - self.limits.connections // 2
        return whole if offset // whole < fine else whole // _FINER

    async def _run(self, source: Source, piece: Piece) -> None:
        try:
            async with self.spare:
                await self.fetch(source, Stretch(self.file, piece))
        except SourceFailed as error:
            self._barred.add(source.name)
            if error.verdict.result in _AS_BAD_FOR_ALL:
                self._verdicts[source.name] = error.verdict
            else:
                self.failed(source, error.verdict)
        except Exception as error:
            # A full disk, or an answer that nobody foresaw: whoever has the turn meets that too, and says so.
            log.info("nothing more is fetched ahead", extra={"mirror": source.name, "reason": repr(error)})
            self._barred.add(source.name)
        finally:
            self._running.pop(piece.start, None)
        self.send_out(source)
