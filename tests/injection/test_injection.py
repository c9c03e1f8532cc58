"""Whatever goes wrong at whatever call or write, on every engine: the old container runs or the verified new one, as it was."""

from collections.abc import Callable, Sequence

import pytest

from tests.injection.conftest import COUNTED
from tests.injection.faults import OF_THE_ENGINE, Fault, points_of
from tests.injection.field import Verdict
from tests.injection.fields import FieldOf
from tests.injection.plan import CHOSEN, PLAN, chosen
from tests.lab.engines import Generation

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]
Record = Callable[[str, object], None]


def judge(verdicts: Sequence[Verdict], record: Record) -> None:
    """Count the cases, and fail with each in which the promise was broken."""
    broken = [one for one in verdicts if one.broken]
    record(COUNTED, (len(verdicts), len(verdicts) - len(broken)))
    assert not broken, "\n".join(f"{one.case.fault} at {one.case.point}: {one.broken}" for one in broken)


@pytest.mark.parametrize("generation", CHOSEN)
def test_after_a_chosen_fault_one_of_the_two_runs(
    generation: Generation, field_of: FieldOf, record_property: Record
) -> None:
    field = field_of(generation)
    cases = chosen(generation, field.points("always"))
    alone = [case for case in cases if case.fault not in OF_THE_ENGINE]
    verdicts = field.run_mixed(alone)
    for fault in dict.fromkeys(case.fault for case in cases if case.fault in OF_THE_ENGINE):
        verdicts += field.run("always", fault, [case.point for case in cases if case.fault is fault])
    judge(verdicts, record_property)


@pytest.mark.full
@pytest.mark.parametrize(("shape", "fault"), [(shape, fault) for shape, faults in PLAN.items() for fault in faults])
@pytest.mark.parametrize("generation", Generation)
def test_after_a_fault_at_any_point_one_of_the_two_runs(
    generation: Generation, shape: str, fault: Fault, field_of: FieldOf, record_property: Record
) -> None:
    field = field_of(generation)
    points = points_of(fault, field.points(shape))
    assert points
    judge(field.run(shape, fault, points), record_property)
