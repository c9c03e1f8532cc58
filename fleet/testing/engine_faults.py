"""Faults of the in-memory engine, on demand: which call fails, with what, and whether it took effect all the same."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

ANY = "*"
"""Stands for every call."""


class KillNow(BaseException):
    """The agent is killed here, as by ``kill -9``: no code of the agent may catch it."""


class When(StrEnum):
    """Whether the engine did what was asked although the caller saw an error."""

    BEFORE = "before"
    """It never did."""
    AFTER = "after"
    """It had done it; only the answer was lost."""
    LATE = "late"
    """It does it a little later: the request was under way when its caller went."""


@dataclass(slots=True, kw_only=True)
class Fault:
    """One fault that waits for its call."""

    call: str
    error: BaseException | Callable[[], BaseException]
    when: When
    after: int
    """How many calls of that name still go well first."""
    times: int
    """How many calls fail then."""
    late_s: float

    def raised(self) -> BaseException:
        """Return what the caller sees."""
        return self.error if isinstance(self.error, BaseException) else self.error()


class Faults:
    """The faults that wait."""

    def __init__(self) -> None:
        """Wait for nothing."""
        self._waiting: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Let *fault* wait for its call."""
        self._waiting.append(fault)

    def clear(self) -> None:
        """Let every further call go well."""
        self._waiting.clear()

    def take(self, call: str) -> Fault | None:
        """Return the fault that meets this *call*, and count the call for all the others."""
        met = None
        for fault in [fault for fault in self._waiting if fault.call in (ANY, call)]:
            if fault.after > 0:
                fault.after -= 1
            elif met is None:
                met = fault
                fault.times -= 1
                if fault.times <= 0:
                    self._waiting.remove(fault)
        return met
