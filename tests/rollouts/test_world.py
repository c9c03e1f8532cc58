"""The invariants hold whatever happens; that each is worth something is shown in test_mutants.py."""

import pytest
from hypothesis import Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.rollouts.world import World

IN_CI, BY_NIGHT = 500, 10_000
NIGHT_SHARDS = 10
"""The night's examples are shared out, so that several processes take part and a failure is shrunk in its own share."""


@pytest.mark.timeout(900)
def test_the_invariants_hold_whatever_happens() -> None:
    within = settings(max_examples=IN_CI, stateful_step_count=40, deadline=None)
    run_state_machine_as_test(World, settings=within)


@pytest.mark.full
@pytest.mark.nightly
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("shard", range(NIGHT_SHARDS), ids="shard-{:02}".format)
def test_the_invariants_hold_whatever_happens_at_length(shard: int) -> None:
    within = settings(
        max_examples=BY_NIGHT // NIGHT_SHARDS,
        stateful_step_count=50,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
    )
    run_state_machine_as_test(seed(shard)(type("Seeded", (World,), {})), settings=within)
