"""What can go wrong at one point of an update, and at which points. Pure.

A point is one request to the engine, or the moment before or after one write of the journal.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Fault(StrEnum):
    """What goes wrong, once."""

    ERROR = "the engine says no"
    """It answers 500 and has done nothing."""
    ERROR_DONE = "the engine says no to what it did"
    """It does what was asked, and answers 500."""
    CUT = "the connection ends"
    """The engine did what was asked; no answer comes."""
    HANG = "the engine hangs"
    """It does nothing and answers nothing, until the agent has no patience left."""
    HANG_DONE = "the engine hangs after it did"
    """It does what was asked and answers nothing."""
    KILL = "kill -9 of the agent"
    """Before the engine heard of the request, or at this moment of the journal."""
    KILL_DURING = "kill -9 of the agent during the call"
    """The request is on its way; the next agent starts at once."""
    KILL_DONE = "kill -9 of the agent before the answer"
    """The engine has done what was asked."""
    FULL = "disk full"
    """From this write on, and still at the agent's next start."""
    ENGINE = "kill -9 of the engine"
    """The engine is dead when it is asked, and is started again; the agent lives."""
    ENGINE_DURING = "kill -9 of the engine during the call"
    """While it does what was asked."""
    ENGINE_DONE = "kill -9 of the engine before the answer"
    """When it has done what was asked."""
    BOTH = "kill -9 of both"
    """Engine and agent are killed, and started again; the containers' own processes live."""
    BOTH_DURING = "kill -9 of both during the call"
    """While the engine does what was asked."""
    REBOOT = "the machine goes down"
    """Engine, agent and every container are killed, and the engine starts again."""
    REBOOT_DURING = "the machine goes down during the call"
    """While the engine does what was asked."""


OF_THE_ENGINE = (
    Fault.ENGINE,
    Fault.ENGINE_DURING,
    Fault.ENGINE_DONE,
    Fault.BOTH,
    Fault.BOTH_DURING,
    Fault.REBOOT,
    Fault.REBOOT_DURING,
)
"""What befalls every container of an engine at once."""
OF_REBOOTS = (Fault.REBOOT, Fault.REBOOT_DURING)
KILLS_AGENT = (Fault.KILL, Fault.KILL_DURING, Fault.KILL_DONE, Fault.BOTH, Fault.BOTH_DURING, *OF_REBOOTS)
DURING = (Fault.KILL_DURING, Fault.ENGINE_DURING, Fault.BOTH_DURING, Fault.REBOOT_DURING)
DONE = (Fault.ERROR_DONE, Fault.CUT, Fault.HANG_DONE, Fault.KILL_DONE, Fault.ENGINE_DONE)
"""Faults after the engine did what was asked."""
HANGS = (Fault.HANG, Fault.HANG_DONE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One instant at which something can go wrong."""

    number: int
    """Counted from 0 over one update."""
    label: str
    """As ``POST old/stop``, ``before update:stop``."""

    @property
    def is_write(self) -> bool:
        """Tell whether it is a moment of the journal."""
        return self.label.startswith(("before ", "after "))

    @property
    def has_effect(self) -> bool:
        """Tell whether it is a request that changes something."""
        return not self.is_write and not self.label.startswith(("GET ", "HEAD "))

    def __str__(self) -> str:
        """Return what a failed case is told by."""
        return f"{self.number} ({self.label})"


def may_befall(fault: Fault, point: Point) -> bool:
    """Tell whether *fault* at *point* is a case of its own.

    A read that failed before it was carried out or after is one and the same; so is an engine that was killed before a
    write or after the one before it.
    """
    match fault:
        case Fault.FULL:
            return point.label.startswith("before ")
        case Fault.KILL:
            return True
        case Fault.ENGINE:
            return not point.label.startswith("before ")
        case Fault.BOTH | Fault.REBOOT:
            return point.label.startswith("after ")
        case Fault.ERROR | Fault.HANG:
            return not point.is_write
        case _:
            return point.has_effect


def points_of(fault: Fault, points: Iterable[Point]) -> list[Point]:
    """Return the points at which *fault* is tried."""
    return [point for point in points if may_befall(fault, point)]
