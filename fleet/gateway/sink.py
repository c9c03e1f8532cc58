"""Where fetched bytes go until they are proved: on disk for blobs, in memory for manifests."""

import errno
import hashlib
import itertools
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from fleet.gateway.threads import to_their_ends
from fleet.images.digest import Digest

READ_BYTES = 512 * 1024
"""How much of a file is in memory at a time."""
FOLLOWED_BYTES = 64 * 1024 * 1024
"""How much is hashed before whoever wants an end of it is heard: a fifth of a second on a slow processor."""
AT_ONCE_BYTES = 4 * 1024 * 1024
"""How much is hashed before whoever follows asks whether it is over."""
NOTED_BYTES = 4 * 1024 * 1024
"""So often is written down who gave what, or when a reading thread tells; what came since is fetched again after a crash."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """Bytes from *start* up to *end* that came from one source."""

    source: str
    start: int
    end: int
    told: bool = False
    """Whether the history has them already, by an earlier pull that gave them to the engine and failed all the same."""


def told_apart(segments: Iterable[Segment], given: Sequence[tuple[int, int]]) -> list[Segment]:
    """Return *segments*, cut where the *given* bytes begin and end, and those told of (pure)."""
    edges = sorted({edge for pair in given for edge in pair})
    found = []
    for segment in segments:
        cuts = [segment.start, *(edge for edge in edges if segment.start < edge < segment.end), segment.end]
        for start, end in itertools.pairwise(cuts):
            told = segment.told or any(first <= start and end <= last for first, last in given)
            found.append(replace(segment, start=start, end=end, told=told))
    return found


class Sink(Protocol):
    """Takes bytes in order, and knows from whom each came."""

    @property
    def size(self) -> int:
        """Bytes so far."""
        ...

    @property
    def segments(self) -> tuple[Segment, ...]:
        """Who gave which bytes, in order."""
        ...

    def append(self, chunk: bytes, source: str) -> None:
        """Take in more bytes; raise OSError where there is no room."""
        ...

    async def proved(self) -> bool:
        """Tell whether the bytes so far have the digest; raise OSError where they cannot be read."""
        ...

    def reset(self) -> None:
        """Forget all bytes."""
        ...

    def fingerprint(self, segment: Segment) -> str:
        """Return a hash of the bytes that stand where *segment* is."""
        ...


class _Account:
    """The part that both kinds of sink share: who gave which bytes."""

    def __init__(self, digest: Digest) -> None:
        self.digest = digest
        self._segments: list[Segment] = []
        self._size = 0

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self._size

    @property
    def segments(self) -> tuple[Segment, ...]:
        """Who gave which bytes, in order."""
        return tuple(self._segments)

    def _grow(self, count: int, source: str, *, told: bool = False) -> None:
        start, self._size = self._size, self._size + count
        last = self._segments[-1] if self._segments else None
        if last is not None and (last.source, last.told) == (source, told):
            start = self._segments.pop().start
        self._segments.append(Segment(source=source, start=start, end=self._size, told=told))

    def _forget(self) -> None:
        self._segments, self._size = [], 0


class MemorySink(_Account):
    """Holds a manifest."""

    def __init__(self, digest: Digest) -> None:
        super().__init__(digest)
        self._content = bytearray()

    @property
    def content(self) -> bytes:
        """The bytes so far."""
        return bytes(self._content)

    def append(self, chunk: bytes, source: str) -> None:
        """Take in more bytes."""
        self._content += chunk
        self._grow(len(chunk), source)

    async def proved(self) -> bool:
        """Tell whether the bytes so far have the digest."""
        hasher = self.digest.hasher()
        hasher.update(bytes(self._content))
        return hasher.hexdigest() == self.digest.hex

    def reset(self) -> None:
        """Forget all bytes."""
        self._content.clear()
        self._forget()

    def fingerprint(self, segment: Segment) -> str:
        """Return a hash of the bytes that stand where *segment* is."""
        return hashlib.sha256(self._content[segment.start : segment.end]).hexdigest()


class SpoolFile(_Account):
    """Holds a blob in a file.

    Bytes may be laid down ahead of their turn; they count once those before them are there. What is hashed is what stands
    in the file, behind whoever writes there.
    """

    def __init__(self, digest: Digest, path: Path, *, note: Callable[[Sequence[Segment]], None]) -> None:
        """Open the file, or create it; raise OSError where that fails. *note* writes down who gave its bytes."""
        super().__init__(digest)
        self.inherited = 0
        """How many bytes were there before."""
        self._hasher, self._hashed = digest.hasher(), 0
        self._note, self._noted = note, 0
        self._given: list[tuple[int, int]] = []
        """From where to where the engine was given bytes."""
        self._ahead: dict[int, Segment] = {}
        """By its start, what was laid down ahead."""
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)

    async def inherit(self, segments: Sequence[Segment]) -> None:
        """Take over the bytes that are there, given who gave them; forget what else is there."""
        for segment in segments:
            self._grow(segment.end - segment.start, segment.source, told=segment.told)
        await self._catch_up()
        if os.fstat(self._file).st_size > self._size:
            # Only then: what was ever cut to nothing ext4 writes to the disk when it is closed, and this is removed then.
            os.ftruncate(self._file, self._size)
        self.inherited = self._noted = self._size
        self._note(self.segments)

    def append(self, chunk: bytes, source: str) -> None:
        """Take in more bytes; raise OSError where the disk is full."""
        self.write(chunk, self._size)
        if self._hashed == self._size:
            self._hasher.update(chunk)
            self._hashed += len(chunk)
        self._grow(len(chunk), source)
        self._write_down()

    def pour(self, chunk: memoryview, at: int) -> None:
        """Write bytes, in a thread, in the order in which they count; raise OSError where the disk is full."""
        self.write(chunk, at)

    def poured(self, count: int, source: str) -> None:
        """Count bytes that were poured; raise OSError where the disk is full."""
        if count:
            self._grow(count, source)
            self._write_down()

    @property
    def here(self) -> int:
        """Bytes so far, with those ahead."""
        return self._size + sum(segment.end - max(segment.start, self._size) for segment in self._ahead.values())

    def lay(self, chunk: bytes, at: int, source: str) -> None:
        """Lay down bytes ahead, from *at* on; raise OSError where the disk is full."""
        self.write(chunk, at)
        self.laid(len(chunk), at, source)

    def laid(self, count: int, at: int, source: str) -> None:
        """Take note of bytes that were written ahead."""
        before = next((segment for segment in self._ahead.values() if segment.end == at), None)
        start = before.start if before is not None and before.source == source else at
        if count:
            self._ahead[start] = Segment(source=source, start=start, end=at + count)

    def forget_ahead(self) -> None:
        """Count nothing that was laid down ahead and whose turn has not come."""
        self._ahead.clear()

    async def absorb(self) -> None:
        """Count what was laid down ahead and whose turn has come."""
        while (segment := self._ahead.pop(self._size, None)) is not None:
            self._grow(segment.end - segment.start, segment.source, told=segment.told)
            self._write_down()
            await self._catch_up()

    @property
    def follows(self) -> bool:
        """There is something to be hashed behind whoever pours."""
        return True

    def follow(self, written: Callable[[int], int]) -> None:
        """Hash, in a thread, what another one writes; raise OSError where it cannot be read.

        *written*, told how far this is, waits for more and returns how far there is some; no further: it is over.
        """
        while (end := written(self._hashed)) > self._hashed:
            self._hash(min(end, self._hashed + AT_ONCE_BYTES))

    @property
    def behind(self) -> bool:
        """Whether bytes that count are not hashed yet."""
        return self._hashed < self._size

    def _hash(self, end: int) -> None:
        room = memoryview(bytearray(READ_BYTES))
        while self._hashed < end:
            count = os.preadv(self._file, [room[: end - self._hashed]], self._hashed)
            if not count:
                raise OSError(errno.EIO, "its file was cut short")
            self._hasher.update(room[:count])
            self._hashed += count

    async def proved(self) -> bool:
        """Tell whether the bytes so far have the digest; raise OSError where they cannot be read."""
        await self._catch_up()
        return self._hasher.hexdigest() == self.digest.hex

    def reset(self) -> None:
        """Forget all bytes."""
        os.ftruncate(self._file, 0)
        self._ahead.clear()
        self._given.clear()
        self._forget()
        self._hasher, self._hashed = self.digest.hasher(), 0
        self.inherited = self._noted = 0
        self._note(())

    def give(self, start: int, end: int) -> None:
        """Take note that the engine was given the bytes from *start* up to *end*, and that the history tells of them."""
        last = self._given.pop() if self._given and self._given[-1][1] == start else (start, end)
        self._given.append((last[0], end))

    def take_back(self) -> None:
        """Forget what the engine was given: no history will tell of the pull, so the next one has to."""
        self._given.clear()

    def read(self, start: int, count: int) -> bytes:
        """Return at most *count* bytes from *start* on."""
        return os.pread(self._file, count, start)

    def fingerprint(self, segment: Segment) -> str:
        """Return a hash of the bytes that stand where *segment* is."""
        hasher, at = hashlib.sha256(), segment.start
        while at < segment.end and (chunk := self.read(at, min(READ_BYTES, segment.end - at))):
            hasher.update(chunk)
            at += len(chunk)
        return hasher.hexdigest()

    def write(self, chunk: bytes | memoryview, at: int) -> None:
        """Write bytes that do not count yet; raise OSError where the disk is full."""
        view = memoryview(chunk)
        while view:
            written = os.pwrite(self._file, view, at)
            view, at = view[written:], at + written

    async def _catch_up(self) -> None:
        while self.behind:
            await to_their_ends(partial(self._hash, min(self._size, self._hashed + FOLLOWED_BYTES)))

    def _write_down(self) -> None:
        if self._size - self._noted >= NOTED_BYTES:
            self._note(self.segments)
            self._noted = self._size

    def let_go(self) -> int:
        """Return the open file to be closed by the caller, -1 where it is closed: nothing is written down about it."""
        file, self._file = self._file, -1
        return file

    def close(self) -> None:
        """Close the file, and leave it there; raise OSError where the disk has no room for who gave its bytes."""
        if (file := self.let_go()) >= 0:
            os.close(file)
            self._note(told_apart(self.segments, self._given))
