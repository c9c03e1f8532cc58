"""One fetch per blob on this host: whoever wants a digest that is on its way waits for the same bytes."""

import asyncio
import logging
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from fleet.gateway.fetch import Fetch, FetchFailed
from fleet.gateway.sink import SpoolFile
from fleet.gateway.wanted import Means, Wanted
from fleet.images.digest import Digest

log = logging.getLogger(__name__)

RESERVE_BYTES = 64 * 1024 * 1024
"""What is left free on the spool's disk, so that the engine and the journal can go on."""


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

    async def landed(self, within_s: float | None) -> bool | None:
        """Wait; return True for proved bytes, False for none, None while it is still on its way."""
        assert self.task is not None
        await asyncio.wait({self.task}, timeout=within_s)
        return self.failure == "" if self.task.done() else None


class Flights:
    """The blobs that are on their way or in the spool; belongs to one event loop."""

    def __init__(self, spool: Path) -> None:
        """Take an empty folder for the bytes: whatever another run left there is removed."""
        self._spool = spool
        shutil.rmtree(spool, ignore_errors=True)
        spool.mkdir(parents=True, mode=0o700)
        self._flights: dict[Digest, Flight] = {}

    def board(self, who: object, wanted: Wanted, means: Means) -> Flight:
        """Return the flight of what is *wanted*, begun where there was none or where it had failed for somebody else."""
        flight = self._flights.get(wanted.digest)
        if flight is None or (flight.failure and who not in flight.interested):
            flight = self._flights[wanted.digest] = Flight(digest=wanted.digest, size=wanted.size or 0)
            flight.task = asyncio.create_task(self._fly(flight, wanted, means))
        flight.interested.add(who)
        return flight

    def leave(self, who: object) -> None:
        """Give up what only *who* wanted, and its disk space."""
        for digest, flight in list(self._flights.items()):
            flight.interested.discard(who)
            if not flight.interested:
                del self._flights[digest]
                self._end(flight)

    async def _fly(self, flight: Flight, wanted: Wanted, means: Means) -> None:
        try:
            self._make_room(flight.size)
            flight.file = SpoolFile(flight.digest, self._spool / f"{flight.digest.hex}.{id(flight):x}.part")
            await Fetch(wanted=wanted, sink=flight.file, means=means).run()
        except FetchFailed as error:
            flight.failure = str(error)
        except OSError as error:
            flight.failure = f"cannot keep the layer {flight.digest.short} in {self._spool}: {error.strerror or error}"
        except asyncio.CancelledError:
            flight.failure = "cannot go on: the pull was ended"
        except Exception as error:
            # A fault of our own must not pass for proved bytes.
            log.exception("layer cannot be fetched", extra={"digest": str(flight.digest)})
            flight.failure = f"cannot get the layer {flight.digest.short}: {type(error).__name__}"
        finally:
            if flight.failure and flight.file is not None:
                flight.file.close()
                flight.file = None

    def _make_room(self, size: int) -> None:
        free = shutil.disk_usage(self._spool).free
        if free < size + RESERVE_BYTES:
            raise OSError(0, f"it needs {size} bytes, and {max(free - RESERVE_BYTES, 0)} are free")

    def _end(self, flight: Flight) -> None:
        if flight.task is not None and not flight.task.done():
            flight.task.cancel()
        elif flight.file is not None:
            flight.file.close()
            flight.file = None
            flight.failure = flight.failure or "cannot serve it any more: the pull has ended"
