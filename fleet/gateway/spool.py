"""The folder of bytes on their way: what a pull left there is gone on with by the next one, also after the agent was killed.

Beside the bytes of each blob stands who gave them. Both are words of a disk that may have lost power: they save asking
again, and the digest alone says whether the bytes are right.
"""

import contextlib
import errno
import json
import logging
import os
import re
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fleet.gateway.sink import Segment
from fleet.images.digest import Digest

log = logging.getLogger(__name__)

RESERVE_BYTES = 64 * 1024 * 1024
"""What is left free on the spool's disk, so that the engine and the journal can go on."""
_BYTES, _ACCOUNT = ".part", ".json"
_OURS = re.compile(r"[0-9a-f]{64,}\..+")
"""What a spool gives names to. A folder that somebody linked here, or a disk, may hold much else, which is nobody's to remove."""


class Spool:
    """The files of one folder; not safe for several threads."""

    def __init__(self, folder: Path, *, cap_bytes: int) -> None:
        """Open *folder*, and remove what is left of ours and not understood; raise OSError where it cannot be had."""
        self._folder, self._cap_bytes = folder, cap_bytes
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not folder.is_symlink():  # who may read what a link leads to is for its owner to say
            folder.chmod(0o700)
        for path in list(folder.iterdir()):
            whole = path.suffix == _BYTES and self._beside(path).is_file()
            if _OURS.fullmatch(path.name) and not whole:
                self._remove(path)
        self.trim(frozenset())

    def path(self, digest: Digest) -> Path:
        """Return where the bytes of *digest* are."""
        return self._folder / f"{digest.hex}{_BYTES}"

    def note(self, digest: Digest, segments: Sequence[Segment]) -> None:
        """Write down who gave the bytes that are there of *digest*; raise OSError where the disk is full.

        In place, in one write: a new file in place of the old one would have the disk at work for each of hundreds.
        """
        content = json.dumps([asdict(segment) for segment in segments]).encode()
        try:
            account = os.open(
                self._beside(self.path(digest)), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
            )
        except FileNotFoundError:
            # Somebody removed the folder: this pull has its file open and goes on, and what would spare the next is gone.
            return
        try:
            # What stood there before goes under spaces.
            content = content.ljust(os.fstat(account).st_size)
            if os.pwrite(account, content, 0) < len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            os.close(account)

    def left(self, digest: Digest, size: int, sources: Collection[str]) -> tuple[Segment, ...]:
        """Return who gave what is left of *digest*, from its start on; nothing where it came from other than *sources*."""
        try:
            rows = json.loads(self._beside(self.path(digest)).read_text())
            segments = tuple(map(_segment, rows))
            there = self.path(digest).stat().st_size
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return ()
        at = 0
        for segment in segments:
            if segment.start != at or segment.end <= at or segment.source not in sources:
                return ()
            at = segment.end
        return segments if at <= min(size, there) else ()

    def make_room(self, sizes: Mapping[Digest, int], busy: Collection[Digest]) -> None:
        """Remove what is left of others, the oldest first, until all of *sizes* have room; raise OSError where they have not."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        needed = sum(max(size - self._there(digest), 0) for digest, size in sizes.items())
        self.trim({*busy, *sizes}, needed)
        free = shutil.disk_usage(self._folder).free
        if free < needed + RESERVE_BYTES:
            raise OSError(0, f"it needs {needed} bytes, and {max(free - RESERVE_BYTES, 0)} are free")

    def trim(self, busy: Collection[Digest], needed: int = 0) -> None:
        """Remove what nobody of *busy* works on, the oldest first, until the cap and the disk bear *needed* more bytes."""
        working = {self.path(digest) for digest in busy}
        sizes = self._files()
        total = sum(each.st_size for each in sizes.values())
        for path in sorted(sizes.keys() - working, key=lambda path: sizes[path].st_mtime_ns):
            free = shutil.disk_usage(self._folder).free
            if total + needed <= self._cap_bytes and free >= needed + RESERVE_BYTES:
                return
            log.info("bytes of an earlier pull removed", extra={"digest": path.stem, "bytes": sizes[path].st_size})
            self._remove(path)
            total -= sizes[path].st_size

    def bears(self, needed: int) -> bool:
        """Tell whether *needed* more bytes are below the cap."""
        return sum(each.st_size for each in self._files().values()) + needed <= self._cap_bytes

    def remove(self, digest: Digest) -> None:
        """Give the disk space of *digest* back."""
        self._remove(self.path(digest))

    def _there(self, digest: Digest) -> int:
        try:
            return self.path(digest).stat().st_size
        except FileNotFoundError:
            return 0

    def _files(self) -> dict[Path, os.stat_result]:
        """Return the files with bytes; others may remove some meanwhile, as what cleans old files does."""
        found = {}
        for path in self._folder.glob(f"*{_BYTES}"):
            with contextlib.suppress(FileNotFoundError):
                if _OURS.fullmatch(path.name):
                    found[path] = path.stat()
        return found

    def _beside(self, path: Path) -> Path:
        return path.with_suffix(_ACCOUNT)

    def _remove(self, path: Path) -> None:
        if path.suffix == _ACCOUNT and path.with_suffix(_BYTES).is_file():
            return
        for each in (path, self._beside(path)):
            try:
                shutil.rmtree(each) if each.is_dir() and not each.is_symlink() else each.unlink()
            except FileNotFoundError:
                continue
            except OSError as error:
                # A disk that became read-only must not make a failure of a pull that the engine has ended well.
                log.warning("cannot remove bytes of an earlier pull", extra={"file": each.name, "reason": str(error)})


def _segment(row: Mapping[str, Any]) -> Segment:
    """Read one row of an account; raise KeyError, TypeError or ValueError for what is none."""
    told = row.get("told", False) is True
    return Segment(source=str(row["source"]), start=int(row["start"]), end=int(row["end"]), told=told)
