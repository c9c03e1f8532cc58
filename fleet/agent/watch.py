"""Ends this process when the broker has not answered for too long: a fresh one has fresh connections."""

import logging
from collections.abc import Callable

from fleet.clock import Clock

log = logging.getLogger(__name__)

SILENCE_S = 120.0
"""How long the broker may be silent. The worker reads every few seconds, and reconnects by itself long before."""
LOOK_S = 5.0


class Watch:
    """Looks at when the broker answered last; its steps are taken by one thread."""

    def __init__(
        self,
        heard_at: Callable[[], float | None],
        busy: Callable[[], bool],
        end: Callable[[], None],
        *,
        clock: Clock,
        silence_s: float = SILENCE_S,
    ) -> None:
        """Begin to count now; *end* ends the process, and is not called while it is *busy* with a command."""
        self._heard_at, self._busy, self._end = heard_at, busy, end
        self._clock, self._silence_s = clock, silence_s
        self._began = clock.monotonic()

    def step(self) -> float:
        """Look; return when to look again."""
        silent_s = self._clock.monotonic() - max(self._began, self._heard_at() or self._began)
        if silent_s > self._silence_s and not self._busy():
            log.error("broker silent, ending to start afresh", extra={"seconds": round(silent_s)})
            self._end()
        return LOOK_S
