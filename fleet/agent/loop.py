"""A thread that takes one step after another, and sleeps between them until it is woken or the next one is due."""

import logging
import threading
from collections.abc import Callable

from fleet.errors import FleetError

log = logging.getLogger(__name__)

AFTER_FAILURE_S = 5.0
"""The pause after a step that raised: long enough to keep the log readable, short enough to be worth nothing."""
LONGEST_SLEEP_S = 3600.0
"""A step that says "never" is taken all the same, now and then: it does no harm."""


class Loop:
    """Runs *step* in a thread of its own; *step* returns how many seconds may pass until the next one."""

    def __init__(self, name: str, step: Callable[[], float]) -> None:
        """Prepare; ``start`` begins."""
        self._step = step
        self._name = name
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._once_more = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def stopping(self) -> bool:
        """Whether it was told to end."""
        return self._stopping.is_set()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """Let the next step be taken at once."""
        self._wake.set()

    def stop(self, *, once_more: bool = False) -> None:
        """Let the step under way be the last; with *once_more* the one after it, for what came too late for this one."""
        self._once_more = once_more
        self._stopping.set()
        self._wake.set()

    def join(self, within_s: float) -> bool:
        """Wait at most *within_s* seconds for the end; tell whether it came."""
        if self._thread.is_alive():
            self._thread.join(max(0.0, within_s))
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            self._wake.wait(min(max(0.0, self._taken()), LONGEST_SLEEP_S))
        if self._once_more:
            self._taken()

    def _taken(self) -> float:
        try:
            return self._step()
        except FleetError as error:
            log.warning("step failed", extra={"loop": self._name, "reason": str(error)})
        except Exception:
            # A thread that dies silently would be worse than one that fails again.
            log.exception("step failed", extra={"loop": self._name})
        return AFTER_FAILURE_S
