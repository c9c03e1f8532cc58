"""Which faults befall which containers, and which few of all the cases are tried at every run of the tests. Pure."""

from collections.abc import Sequence

from tests.injection.faults import Fault, Point, points_of
from tests.injection.field import Case
from tests.lab.engines import Generation

_AGENT = (Fault.KILL_DURING, Fault.KILL_DONE, Fault.FULL)
PLAN: dict[str, tuple[Fault, ...]] = {
    "always": tuple(Fault),
    "broken": (Fault.ERROR, Fault.CUT, *_AGENT, Fault.BOTH, Fault.REBOOT_DURING),
    "start-first": (Fault.ERROR_DONE, Fault.CUT, *_AGENT, Fault.ENGINE_DURING, Fault.BOTH, Fault.REBOOT),
    "rm": (Fault.ERROR_DONE, Fault.CUT, *_AGENT),
    "follower": (Fault.ERROR, Fault.CUT, *_AGENT),
    "hooks": (Fault.ERROR, Fault.CUT, *_AGENT),
}
"""Each shape, and the faults that it meets at each of its points."""
_NEW_FROM = {"broken": "before update:verify"}
"""Where the points begin that the other shapes do not have."""
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


def every(generation: Generation, shape: str, points: Sequence[Point]) -> list[Case]:
    """Return all the cases of *shape* on one engine; *points* are those of an undisturbed update."""
    labels = [point.label for point in points]
    own = points[labels.index(_NEW_FROM[shape]) :] if shape in _NEW_FROM else points
    return [
        Case(engine=generation, shape=shape, fault=fault, point=point)
        for fault in PLAN[shape]
        for point in points_of(fault, own)
    ]


def chosen(generation: Generation, points: Sequence[Point]) -> list[Case]:
    """Return the cases of every run of the tests on one engine."""
    first = {point.label: point for point in reversed(points)}
    return [
        Case(engine=generation, shape="always", fault=fault, point=first[label])
        for fault, labels in _CHOSEN.items()
        for label in labels
    ]
