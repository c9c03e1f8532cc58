"""Every fault of a mirror on engines with both image stores: what ``make faults`` writes into the docs holds."""

from collections.abc import Iterator

import pytest

from tests.lab.engines import Generation
from tests.lab.fault_bench import Bench
from tests.lab.fault_cases import CASES, NO_FAULT, Case
from tests.lab.fault_matrix import ENGINES, Row, broken_promises
from tests.lab.lab import Host, Lab


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    """Start mirrors of every kind, in a lab of their own: the origin is Docker Hub to it."""
    with Lab() as lab:
        yield Bench(lab)


@pytest.fixture(scope="module", params=ENGINES)
def host(request: pytest.FixtureRequest, bench: Bench) -> Host:
    """Give a host of each generation in turn."""
    generation = Generation(request.param)
    generation.need()
    return bench.lab.host(f"faults-{generation.replace('.', '-')}", generation)


@pytest.fixture(scope="module")
def baseline_s(bench: Bench, host: Host) -> float:
    """Measure a pull without a fault."""
    return bench.baseline_s(host)


@pytest.mark.full
@pytest.mark.parametrize("case", [NO_FAULT, *CASES], ids=lambda case: case.name)
def test_a_mirror_that_does_wrong_changes_the_mirror_used_and_nothing_else(
    case: Case, bench: Bench, host: Host, baseline_s: float
) -> None:
    """Right digest both times, the fault's cost bounded, and the accounts equal to the registries' own logs."""
    first, again = bench.through(host, case)
    row = Row(case=case, direct=None, first=first, again=again, baseline_s=baseline_s)
    assert not broken_promises(row), row
    assert (first.origin_bytes > 0) is case.helps, row
