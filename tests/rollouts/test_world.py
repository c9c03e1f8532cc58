"""The invariants hold whatever happens, and each is worth something: it kills the mutants that break it."""

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.rollouts.world import World


def test_the_invariants_hold_whatever_happens() -> None:
    run_state_machine_as_test(World, settings=settings(max_examples=100, stateful_step_count=40, deadline=None))


@pytest.mark.full
@pytest.mark.timeout(7200)
def test_the_invariants_hold_whatever_happens_at_length() -> None:
    run_state_machine_as_test(World, settings=settings(max_examples=10_000, stateful_step_count=50, deadline=None))
