"""Whose fault a failed update is."""

import pytest

from fleet.rollouts.failures import Failed, failure_of, tried_again
from fleet.rollouts.spec import TrySpec
from fleet.rollouts.states import FailureClass
from fleet.updates.outcome import Result

TABLE = [
    (Result.ROLLED_BACK, True, True, False, FailureClass.RELEASE),
    (Result.ROLLBACK_FAILED, True, True, False, FailureClass.RELEASE),
    (Result.FAILED, False, False, False, FailureClass.INFRASTRUCTURE),
    (Result.FAILED, True, False, False, FailureClass.ENGINE),
    (Result.ABANDONED, None, True, False, FailureClass.RELEASE),
    (Result.ROLLED_BACK, True, True, True, FailureClass.INFRASTRUCTURE),
    (Result.FAILED, True, False, True, FailureClass.INFRASTRUCTURE),
    (Result.FAILED, True, True, True, FailureClass.INFRASTRUCTURE),
    (Result.ROLLBACK_FAILED, True, True, True, FailureClass.ENGINE),
]


@pytest.mark.parametrize(("result", "pulled", "created", "interrupted", "whose"), TABLE)
def test_whose_fault_it_is(
    result: Result, pulled: bool | None, created: bool, interrupted: bool, whose: FailureClass
) -> None:
    failed = Failed(result=result, pulled=pulled, created=created, interrupted=interrupted)
    assert failure_of(failed) is whose


@pytest.mark.parametrize(
    ("failure", "tries", "again"),
    [
        (FailureClass.INFRASTRUCTURE, 1, True),
        (FailureClass.INFRASTRUCTURE, 2, False),
        (FailureClass.TIMEOUT, 1, True),
        (FailureClass.ENGINE, 1, False),
        (FailureClass.RELEASE, 1, False),
    ],
)
def test_what_the_release_is_not_to_blame_for_is_tried_again_within_its_number(
    failure: FailureClass, tries: int, again: bool
) -> None:
    assert (
        tried_again(failure, tries, TrySpec(max=2, retry_on=(FailureClass.INFRASTRUCTURE, FailureClass.TIMEOUT)))
        is again
    )
