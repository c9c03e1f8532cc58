"""One fetch per blob on this host: whoever wants a digest that is on its way waits for the same bytes."""

import asyncio
import contextlib
import errno
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from fleet.gateway.fetch import Fetch, FetchFailed
from fleet.gateway.sink import SpoolFile
from fleet.gateway.spool import Spool
from fleet.gateway.wanted import Means, Wanted
from fleet.images.digest import Digest
from fleet.mirrors.route import Standing, route
from fleet.registry.manifest import Descriptor

log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Flight:
    """One blob on its way, or here."""

    digest: Digest
    size: int
    file: SpoolFile | None = None
    failure: str = ""
    """Why it did not come; begins with "cannot"."""
    task: "asyncio.Task[None] | None" = None
    interested: set[object] = field(default_factory=set)
    kept: bool = False
    """Whether its bytes stay for another pull when nobody wants them any more."""

    async def landed(self, within_s: float | None) -> bool | None:
        """Wait; return True for proved bytes, False for none, None while it is still on its way."""
        assert self.task is not None
        await asyncio.wait({self.task}, timeout=within_s)
        return self.failure == "" if self.task.done() else None


class Flights:
    """The blobs that are on their way or in the spool; belongs to one event loop."""

    def __init__(self, spool: Spool) -> None:
        """Take the folder for the bytes."""
        self._spool = spool
        self._flights: dict[Digest, Flight] = {}
        self._ending: list[tuple[Digest, asyncio.Task[None]]] = []
        """What was given up, and may have its file still open."""
        self._closing: set[asyncio.Future[None]] = set()
        """The closes of removed files that are under way."""

    def bears(self, size: int) -> bool:
        """Tell whether *size* more bytes are below the spool's cap."""
        return self._spool.bears(size)

    async def check(self, blobs: Sequence[Descriptor]) -> None:
        """Raise OSError where the disk has no room for *blobs*, were all removed that nobody works on."""
        await self.settled()
        self._spool.make_room({blob.digest: blob.size for blob in blobs}, self._flights.keys())

    def board(self, who: object, wanted: Wanted, means: Means) -> Flight:
        """Return the flight of what is *wanted*, begun where there was none or where it had failed for somebody else."""
        flight = self._flights.get(wanted.digest)
        if flight is None or (flight.failure and who not in flight.interested):
            flight = self._flights[wanted.digest] = Flight(digest=wanted.digest, size=wanted.size or 0)
            flight.task = asyncio.create_task(self._fly(flight, wanted, means))
        flight.interested.add(who)
        return flight

    def leave(self, who: object, *, kept: bool = False) -> None:
        """Give up what only *who* wanted, and its disk space unless it is to be *kept* for another pull."""
        for digest, flight in list(self._flights.items()):
            if who not in flight.interested:
                continue
            flight.interested.discard(who)
            flight.kept = flight.kept or kept
            if not flight.interested:
                del self._flights[digest]
                self._end(flight)
        self._spool.trim({*self._flights, *(digest for digest, task in self._ending if not task.done())})

    async def settled(self) -> None:
        """Wait until the disk has back what was removed."""
        while self._closing:
            await asyncio.wait(self._closing)

    async def _fly(self, flight: Flight, wanted: Wanted, means: Means) -> None:
        try:
            while before := self._unfinished(flight.digest):
                await asyncio.wait(before)
            flight.file = await self._open(flight, wanted, means)
            await Fetch(wanted=wanted, sink=flight.file, means=means).run()
        except FetchFailed as error:
            flight.failure, flight.kept = str(error), True
        except OSError as error:
            flight.failure = f"cannot keep the layer {flight.digest.short}: {error.strerror or error}{_remedy(error)}"
            flight.kept = False
        except asyncio.CancelledError:
            flight.failure = "cannot go on: the pull was ended"
        except Exception as error:
            # A fault of our own must not pass for proved bytes.
            log.exception("layer cannot be fetched", extra={"digest": str(flight.digest)})
            flight.failure = f"cannot get the layer {flight.digest.short}: {type(error).__name__}"
        finally:
            if flight.failure:
                self._close(flight)

    async def _open(self, flight: Flight, wanted: Wanted, means: Means) -> SpoolFile:
        """Return the blob's file with what an earlier pull left of it, if the same sources gave that."""
        spool, digest = self._spool, flight.digest
        await self.settled()
        spool.make_room({digest: flight.size}, self._flights.keys())
        found = route(wanted.reference, means.table, Standing(own=means.own)).sources
        left = spool.left(digest, flight.size, {source.name for source in found})
        file = flight.file = SpoolFile(digest, spool.path(digest), note=lambda segments: spool.note(digest, segments))
        await file.inherit(left)
        return file

    def _unfinished(self, digest: Digest) -> set["asyncio.Task[None]"]:
        """Return who was given up and may still have the file of *digest* open."""
        mine = asyncio.current_task()
        return {task for other, task in self._ending if other == digest and not task.done() and task is not mine}

    def _end(self, flight: Flight) -> None:
        if flight.task is not None and not flight.task.done():
            self._ending = [each for each in self._ending if not each[1].done()]
            self._ending.append((flight.digest, flight.task))
            flight.task.cancel()
            return
        self._close(flight)
        flight.failure = flight.failure or "cannot serve it any more: the pull has ended"

    def _close(self, flight: Flight) -> None:
        """Close the file, and leave it there or not."""
        file, flight.file = flight.file, None
        if file is None:
            return
        if flight.kept and file.size > 0:
            with contextlib.suppress(OSError):
                file.close()
                return
        self._spool.remove(flight.digest)
        if (removed := file.let_go()) >= 0:
            # The disk gets its room back by this close, which takes a moment for each gigabyte; nobody need wait for it.
            closing = asyncio.get_running_loop().run_in_executor(None, os.close, removed)
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)


def _remedy(error: OSError) -> str:
    """Return what to do about an *error* that the system's settings make, or empty."""
    return "; let the agent have more of them (LimitNOFILE=, ulimit -n)" if error.errno == errno.EMFILE else ""
