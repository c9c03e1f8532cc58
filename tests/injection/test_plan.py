"""Which cases there are: no call and no write is left out of any of the five faults."""

import pytest

from tests.injection.faults import Fault, Point
from tests.injection.plan import CHOSEN, chosen, every
from tests.lab.engines import Generation

CALLS = ("GET version", "GET old/json", "POST containers/create", "POST old/update", "POST old/stop", "POST old/rename")
MORE = ("POST new/rename", "POST new/start", "GET new/json", "DELETE old")
WRITES = ("create", "release", "stop", "swap", "start", "verify", "remove", "done")
LABELS = [*CALLS, *MORE, *(f"{when} update:{write}" for write in WRITES for when in ("before", "after"))]
POINTS = [Point(number=number, label=label) for number, label in enumerate(LABELS)]


def met(fault: Fault) -> set[str]:
    """Return the points at which *fault* befalls the first shape."""
    return {case.point.label for case in every(Generation.V20, "always", POINTS) if case.fault is fault}


@pytest.mark.parametrize("fault", [Fault.ERROR, Fault.HANG, Fault.KILL, Fault.ENGINE])
def test_every_call_meets_it(fault: Fault) -> None:
    assert met(fault) >= {*CALLS, *MORE}


@pytest.mark.parametrize("fault", [Fault.KILL, Fault.FULL, Fault.ENGINE, Fault.BOTH, Fault.REBOOT])
def test_every_write_meets_it(fault: Fault) -> None:
    assert {label.partition(" update:")[2] for label in met(fault)} >= set(WRITES)


@pytest.mark.parametrize("fault", [Fault.ERROR_DONE, Fault.CUT, Fault.KILL_DURING, Fault.ENGINE_DURING])
def test_what_is_carried_out_all_the_same_is_tried_where_a_call_changes_something(fault: Fault) -> None:
    assert met(fault) == {label for label in (*CALLS, *MORE) if not label.startswith("GET")}


def test_forty_cases_are_tried_at_every_run_of_the_tests() -> None:
    assert sum(len(chosen(generation, POINTS)) for generation in CHOSEN) == 40
