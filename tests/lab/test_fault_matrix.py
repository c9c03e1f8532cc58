"""Every fault of a mirror on engines with both image stores: what ``make faults`` writes into the docs holds."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from fleet.testing.faults import Fault
from tests.lab.engines import Generation
from tests.lab.fault_bench import Bench, Lane
from tests.lab.fault_cases import CASES, NO_FAULT, Case, Ending
from tests.lab.fault_matrix import AGAIN_S, ENGINES, Row, broken_promises, page, replaced, served
from tests.lab.fault_pulls import Measured, Through
from tests.lab.lab import Lab

LEAST_CASES = 30
_NOT_OF_PULLS = {Fault.DELAY, Fault.PAUSE}
"""What tests need to hold a registry at a point; neither is a fault by itself."""


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
    assert set(Fault) - _NOT_OF_PULLS == tried - _NOT_OF_PULLS


def test_rows_that_were_measured_again_stand_in_their_engines_table_with_their_commit() -> None:
    well, late = (row(again_s) for again_s in (0.1, 2.0))
    both = {engine: [well, late] for engine in ENGINES}
    before = page(both, "abc", at=datetime(2026, 1, 1, tzinfo=UTC), load="1", seconds=60)
    assert before.count("1 of 2 rows hold.") == 2
    after = replaced(before, {ENGINES[0]: [row(0.2, late.case)]}, "def")
    first, second = after.split("## ")[1:]
    assert "2 of 2 rows hold." in first
    assert [line.endswith("| yes (def) |") for line in first.splitlines() if late.case.name in line] == [True]
    assert second == before.split("## ")[2]
    more = replaced(after, {ENGINES[0]: [row(0.1, CASES[1])]}, "fed")
    assert "3 of 3 rows hold." in more
    assert [line.startswith(f"| {CASES[1].name} |") for line in more.splitlines() if "(fed)" in line] == [True]


def test_a_row_that_is_late_or_whose_bytes_do_not_add_up_breaks_a_promise() -> None:
    assert broken_promises(row(0.1)) == []
    assert broken_promises(row(0.6)) == ["the fault cost 0.6 s the next time"]
    short = replace(row(0.1).pulls.first, origin_bytes=9, origin_sent=10)
    told = broken_promises(replace(row(0.1), pulls=replace(row(0.1).pulls, first=short)))
    assert told == [
        "the first pull says that the origin gave 9 bytes, its log 10",
        "the first pull says that the sources gave 9 bytes, of 10",
    ]
    assert broken_promises(replace(row(0.1), leaked=("m",))) == ["m was shown the password of Docker Hub"]


def row(again_s: float, case: Case = NO_FAULT) -> Row:
    """Return a row whose every promise is kept, but for the next pull's time where *again_s* is too long."""
    case = CASES[0] if again_s > AGAIN_S else case
    pull = Through(
        seconds=1.0,
        ok=True,
        right=True,
        reason="",
        mirror="unreachable",
        mirror_bytes=0,
        mirror_sent=0,
        origin_bytes=10,
        origin_sent=10,
        whole_bytes=10,
    )
    again = replace(pull, seconds=1.0 + again_s)
    return Row(case=case, direct=None, pulls=Measured(baseline_s=1.0, first=pull, again=again))


@pytest.mark.full
@pytest.mark.parametrize("case", [NO_FAULT, *CASES], ids=lambda case: case.name)
def test_a_mirror_that_does_wrong_changes_the_mirror_used_and_nothing_else(case: Case, lane: Lane) -> None:
    """Right digest both times, the fault's cost bounded, and the accounts equal to the registries' own logs."""
    row = Row(case=case, direct=None, pulls=served(lane, case), leaked=lane.leaked())
    assert not broken_promises(row), row
    if case.ending is Ending.RIGHT:
        assert (row.pulls.first.origin_bytes > 0) is case.helps, row
