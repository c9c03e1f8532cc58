"""Each usual hole is caught, and by its own invariant: a test that kills no mutants proves nothing."""

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.rollouts.mutants import MUTANTS, Mutant
from tests.rollouts.recount import Broken
from tests.rollouts.world import World

_QUICK = {"a shut wave is no bar", "never rests", "an old rollout goes on beside a newer"}
"""Those that are found within a second; the others are looked for by make test-full."""


class Unhealed(World):
    """A world that is not healed at the end: what other invariants say is not drowned by what never ends."""

    def teardown(self) -> None:
        """Leave it as it is."""


@pytest.mark.parametrize("mutant", [m for m in MUTANTS if m.name in _QUICK], ids=lambda m: m.name)
def test_a_usual_hole_is_caught_by_its_own_invariant(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    _caught(mutant, monkeypatch, 300)


@pytest.mark.full
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("mutant", [m for m in MUTANTS if m.name not in _QUICK], ids=lambda m: m.name)
def test_a_rarer_hole_is_caught_by_its_own_invariant(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    _caught(mutant, monkeypatch, 3000)


def _caught(mutant: Mutant, patch: pytest.MonkeyPatch, examples: int) -> None:
    mutant.seed(patch)
    within = settings(
        max_examples=examples,
        stateful_step_count=40,
        deadline=None,
        phases=[Phase.generate],
        report_multiple_bugs=False,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    with pytest.raises(Broken) as caught:
        run_state_machine_as_test(World if mutant.invariant == 15 else Unhealed, settings=within)
    assert caught.value.number == mutant.invariant, str(caught.value)
