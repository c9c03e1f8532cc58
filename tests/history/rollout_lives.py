"""How many lives rollouts lead in a test, and how they are led: each of a seed of its own, so that any can be repeated."""

from collections.abc import Sequence
from typing import Any

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from fleet.rollouts.spec import RolloutSpec
from tests.history.rollout_machine import Ground, Machine

STEPS = 20
CI_SHARDS, NIGHT_SHARDS = {"sqlite": 8, "postgresql": 4}, 50
"""The first examples of a seed are the ones that differ most: many seeds see more than many examples of one."""
IN_CI, BY_NIGHT = {"sqlite": 15, "postgresql": 10}, {"sqlite": 100, "postgresql": 100}
"""Examples of each seed."""
_FIRST_IN_CI, _FIRST_BY_NIGHT = {"sqlite": 0, "postgresql": 103}, {"sqlite": 1000, "postgresql": 2000}
"""The seed of the first shard. No life is led on both databases: what decides is the same there, and a hole in it shows in
either, so that other lives find more; and where the two differ, that shows within a few lives, whichever they are.
"""
CAUGHT_WITHIN = 20
"""Examples of each of SEEDS seeds within which a hole must be seen."""
SEEDS = 20
_ALL = (Phase.explicit, Phase.reuse, Phase.generate, Phase.target, Phase.shrink)


class Unhealed(Machine):
    """A machine that is not healed at the end: what other promises say is not drowned by what never ends."""

    heals = False


def play(
    ground: Ground,
    *,
    examples: int,
    number: int,
    phases: Sequence[Phase] = _ALL,
    heals: bool = True,
    first: RolloutSpec | None = None,
) -> None:
    """Run the machine so many times, with the seed *number*."""
    kind = Machine if heals else Unhealed
    own = {"__init__": lambda self: kind.__init__(self, ground), "first": first}
    make: Any = seed(number)(type("Seeded", (kind,), own))
    within = settings(
        max_examples=examples,
        stateful_step_count=STEPS,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=phases,
        database=None,
        report_multiple_bugs=False,
    )
    run_state_machine_as_test(make, settings=within)


def play_in_ci(ground: Ground, shard: int) -> None:
    """Lead one part of the lives that every change must live through."""
    kind = ground.db.dialect
    play(ground, examples=IN_CI[kind], number=_FIRST_IN_CI[kind] + shard)


def play_by_night(ground: Ground, shard: int) -> None:
    """Lead one part of the lives of a night."""
    kind = ground.db.dialect
    play(ground, examples=BY_NIGHT[kind], number=_FIRST_BY_NIGHT[kind] + shard)
