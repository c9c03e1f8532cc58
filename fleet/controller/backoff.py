"""Trying again: longer waits after each failure, and the end of the process wakes at once."""

import logging
import threading
from collections.abc import Callable

from fleet.errors import FleetError, Refused, Unreachable

log = logging.getLogger(__name__)

FIRST_S = 1.0


class Backoff:
    """Waits between attempts at work that needs servers which may be away."""

    def __init__(self, stop: threading.Event, *, longest_s: float, first_s: float = FIRST_S) -> None:
        """Wait *first_s* after the first failure, doubled each time up to *longest_s*; *stop* ends any wait."""
        self._stop = stop
        self._first_s = first_s
        self._longest_s = longest_s
        self._wait_s = first_s

    def attempt(self, work: Callable[[], None]) -> None:
        """Do *work*; where a server is away or says not now, say so, wait, and return."""
        try:
            work()
        except (Unreachable, Refused) as error:
            self._wait(error)

    def went_well(self) -> None:
        """Begin with the shortest wait again."""
        self._wait_s = self._first_s

    def _wait(self, error: FleetError) -> None:
        log.warning("trying again later", extra={"reason": str(error), "again_in_s": self._wait_s})
        self._stop.wait(self._wait_s)
        self._wait_s = min(self._wait_s * 2, self._longest_s)
