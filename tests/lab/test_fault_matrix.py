"""Every fault of a mirror on engines with both image stores: what ``make faults`` writes into the docs holds."""

from collections.abc import Iterator

import pytest

from fleet.testing.faults import Fault
from tests.lab.engines import Generation
from tests.lab.fault_bench import Bench, Lane
from tests.lab.fault_cases import CASES, NO_FAULT, Case, Ending
from tests.lab.fault_matrix import ENGINES, Row, broken_promises, served
from tests.lab.lab import Lab

LEAST_CASES = 30
_NOT_OF_PULLS = {Fault.DELAY, Fault.PAUSE}
"""What tests need to hold a registry at a point; neither is a fault."""


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    """Start mirrors of every kind, in a lab of their own: the origin is Docker Hub to it."""
    with Lab() as lab:
        yield Bench(lab)


@pytest.fixture(scope="module", params=ENGINES)
def lane(request: pytest.FixtureRequest, bench: Bench) -> Iterator[Lane]:
    """Give a host of each generation in turn."""
    generation = Generation(request.param)
    generation.need()
    lane = bench.lane(generation, "served")
    yield lane
    lane.close()


def test_every_fault_that_a_registry_can_be_told_is_a_case() -> None:
    names = [case.name for case in CASES]
    assert len(names) == len(set(names)) >= LEAST_CASES
    tried = {rule["fault"] for case in CASES for rule in case.rules}
    assert set(Fault) - _NOT_OF_PULLS == tried


@pytest.mark.full
@pytest.mark.parametrize("case", [NO_FAULT, *CASES], ids=lambda case: case.name)
def test_a_mirror_that_does_wrong_changes_the_mirror_used_and_nothing_else(case: Case, lane: Lane) -> None:
    """Right digest both times, the fault's cost bounded, and the accounts equal to the registries' own logs."""
    row = Row(case=case, direct=None, pulls=served(lane, case), leaked=lane.leaked())
    assert not broken_promises(row), row
    if case.ending is Ending.RIGHT:
        assert (row.pulls.first.origin_bytes > 0) is case.helps, row
