"""Whatever goes wrong at whatever call or write, on every engine: the old container runs or the verified new one, as it was."""

from collections.abc import Callable, Sequence

import pytest

from tests.injection.conftest import COUNTED
from tests.injection.field import Verdict
from tests.injection.fields import FieldOf
from tests.injection.plan import CHOSEN, PLAN, chosen, every
from tests.lab.engines import Generation

pytestmark = pytest.mark.lab
FEW = 6
"""How many containers are under update at once in every run of the tests; each is started anew when its engine is killed."""
Record = Callable[[str, object], None]


def judge(verdicts: Sequence[Verdict], record: Record) -> None:
    """Count the cases, and fail with each in which the promise was broken."""
    broken = [one for one in verdicts if one.broken]
    record(COUNTED, (len(verdicts), len(verdicts) - len(broken)))
    assert not broken, "\n".join(f"{one.case.fault} at {one.case.point}: {one.broken}" for one in broken)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("generation", CHOSEN)
def test_after_a_chosen_fault_one_of_the_two_runs(
    generation: Generation, field_of: FieldOf, record_property: Record
) -> None:
    field = field_of(generation)
    judge(field.run(chosen(generation, field.points("always")), FEW), record_property)


@pytest.mark.full
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("shape", PLAN)
@pytest.mark.parametrize("generation", Generation)
def test_after_a_fault_at_any_point_one_of_the_two_runs(
    generation: Generation, shape: str, field_of: FieldOf, record_property: Record
) -> None:
    field = field_of(generation)
    judge(field.run(every(generation, shape, field.points(shape))), record_property)
