"""Where fetched bytes go until they are proved: on disk for blobs, in memory for manifests."""

import asyncio
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fleet.images.digest import Digest

READ_BYTES = 256 * 1024
"""How much of a file is in memory at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """Bytes from *start* up to *end* that came from one source."""

    source: str
    start: int
    end: int


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

    def proved(self) -> bool:
        """Tell whether the bytes so far have the digest."""
        ...

    def reset(self) -> None:
        """Forget all bytes."""
        ...

    def fingerprint(self, segment: Segment) -> str:
        """Return a hash of the bytes that stand where *segment* is."""
        ...


class _Account:
    """The part that both kinds of sink share: the hash, and who gave which bytes."""

    def __init__(self, digest: Digest) -> None:
        self.digest = digest
        self._hasher = digest.hasher()
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

    def proved(self) -> bool:
        """Tell whether the bytes so far have the digest."""
        return self._hasher.hexdigest() == self.digest.hex

    def _take(self, chunk: bytes, source: str) -> None:
        self._hasher.update(chunk)
        start, self._size = self._size, self._size + len(chunk)
        if self._segments and self._segments[-1].source == source:
            start = self._segments.pop().start
        self._segments.append(Segment(source=source, start=start, end=self._size))

    def _forget(self) -> None:
        self._hasher, self._segments, self._size = self.digest.hasher(), [], 0


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
        self._take(chunk, source)

    def reset(self) -> None:
        """Forget all bytes."""
        self._content.clear()
        self._forget()

    def fingerprint(self, segment: Segment) -> str:
        """Return a hash of the bytes that stand where *segment* is."""
        return hashlib.sha256(self._content[segment.start : segment.end]).hexdigest()


class SpoolFile(_Account):
    """Holds a blob in a file of its own, which is gone when it is closed.

    Bytes may be laid down ahead of their turn; they count once those before them are there.
    """

    def __init__(self, digest: Digest, path: Path) -> None:
        """Create the file; raise OSError where that fails."""
        super().__init__(digest)
        self._path = path
        self._ahead: dict[int, Segment] = {}
        """By its start, what was laid down ahead."""
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)

    def append(self, chunk: bytes, source: str) -> None:
        """Take in more bytes; raise OSError where the disk is full."""
        self._write(chunk, self._size)
        self._take(chunk, source)

    @property
    def here(self) -> int:
        """Bytes so far, with those ahead."""
        return self._size + sum(segment.end - max(segment.start, self._size) for segment in self._ahead.values())

    def lay(self, chunk: bytes, at: int, source: str) -> None:
        """Lay down bytes ahead, from *at* on; raise OSError where the disk is full."""
        self._write(chunk, at)
        before = next((segment for segment in self._ahead.values() if segment.end == at), None)
        start = before.start if before is not None and before.source == source else at
        self._ahead[start] = Segment(source=source, start=start, end=at + len(chunk))

    async def absorb(self) -> None:
        """Count what was laid down ahead and whose turn has come."""
        while (segment := self._ahead.pop(self._size, None)) is not None:
            while self._size < segment.end:
                self._take(self.read(self._size, min(READ_BYTES, segment.end - self._size)), segment.source)
                await asyncio.sleep(0)

    def reset(self) -> None:
        """Forget all bytes."""
        os.ftruncate(self._file, 0)
        self._ahead.clear()
        self._forget()

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

    def _write(self, chunk: bytes, at: int) -> None:
        view = memoryview(chunk)
        while view:
            written = os.pwrite(self._file, view, at)
            view, at = view[written:], at + written

    def close(self) -> None:
        """Give the disk space back."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
            self._path.unlink(missing_ok=True)
