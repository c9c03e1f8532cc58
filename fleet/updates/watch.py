"""Waits for a pull's parts, tells how far it is meanwhile, and gives up when it must."""

from collections.abc import Callable
from dataclasses import dataclass

from fleet.clock import Clock
from fleet.errors import Refused, TimedOut

TICK_S = 0.2
"""How often progress is told and a wish to stop is looked for."""
GRACE_S = 15.0
"""How long the engine may take to end a pull that was given up: it retries a layer after up to ten seconds."""


def never() -> bool:
    """Return False: go on."""
    return False


def _nothing() -> str:
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """The patience of one pull."""

    clock: Clock
    until: float
    """When it has taken too long, by the monotonic clock."""
    stop: Callable[[], bool] = never
    """Whether somebody wants it ended."""
    tell: Callable[[], None] = lambda: None
    """Tells how far it is."""

    def wait(
        self, ended: Callable[[float], bool], give_up: Callable[[str], None], *, doomed: Callable[[], str] = _nothing
    ) -> None:
        """Return when *ended* (which waits so many seconds at most) says so.

        Where that must not be waited for any longer, *give_up* is told why, and TimedOut or Refused is raised; *doomed*
        returns why it cannot end well, or empty.
        """
        while not ended(TICK_S):
            self.tell()
            late = self.clock.monotonic() > self.until
            reason = "cannot wait any longer for the pull" if late else self._wish() or doomed()
            if reason:
                give_up(reason)
                ended(GRACE_S)
                raise TimedOut(reason) if late else Refused(reason)
        self.tell()

    def _wish(self) -> str:
        return "cannot go on with the pull: it was stopped" if self.stop() else ""
