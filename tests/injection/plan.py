"""Which faults befall which containers, and which few of all the cases are tried at every run of the tests. Pure."""

from collections.abc import Sequence

from tests.injection.faults import Fault, Point
from tests.injection.field import Case
from tests.lab.engines import Generation

PLAN: dict[str, tuple[Fault, ...]] = {
    "always": tuple(Fault),
    "broken": (Fault.ERROR, Fault.CUT, Fault.KILL_DURING, Fault.KILL_DONE, Fault.BOTH, Fault.FULL),
    "start-first": (Fault.ERROR, Fault.KILL, Fault.KILL_DURING, Fault.KILL_DONE, Fault.BOTH, Fault.REBOOT),
    "rm": (Fault.ERROR, Fault.CUT, Fault.KILL, Fault.KILL_DURING, Fault.KILL_DONE, Fault.FULL),
}
"""Each shape, and the faults that it meets at each of its points."""
CHOSEN = (Generation.V20, Generation.V26_CONTAINERD)
"""The engines of every run of the tests."""
_CHOSEN: dict[Fault, tuple[str, ...]] = {
    Fault.ERROR: ("POST containers/create", "POST new/start", "GET new/json"),
    Fault.ERROR_DONE: ("POST old/stop", "POST new/rename"),
    Fault.CUT: ("POST old/rename",),
    Fault.HANG: ("POST new/start",),
    Fault.KILL: ("before update:create", "after update:swap", "after update:remove"),
    Fault.KILL_DURING: ("POST containers/create", "POST old/stop", "POST new/start"),
    Fault.KILL_DONE: ("POST old/update", "DELETE old"),
    Fault.FULL: ("before update:stop",),
    Fault.ENGINE: ("POST new/start",),
    Fault.BOTH: ("after update:stop", "after update:start"),
    Fault.REBOOT: ("after update:verify",),
}
"""The first point of each label."""


def chosen(generation: Generation, points: Sequence[Point]) -> list[Case]:
    """Return the cases of every run of the tests on one engine."""
    first = {point.label: point for point in reversed(points)}
    return [
        Case(engine=generation, shape="always", fault=fault, point=first[label])
        for fault, labels in _CHOSEN.items()
        for label in labels
    ]
