"""Rollouts keep their promises in SQL whatever happens, and each promise is worth something: it catches what breaks it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from fleet.history.database import Database
from fleet.rollouts.spec import RolloutSpec
from tests.history.conftest import HeldClock
from tests.history.mutants import MUTANTS, Mutant
from tests.history.rollout_machine import Ground, Machine
from tests.rollouts.recount import Broken

STEPS = 20
IN_CI, BY_NIGHT = 500, 10_000
"""Examples over both databases together."""
CI_SHARDS, NIGHT_SHARDS = 5, 20
_CAUGHT_WITHIN = 200
_ALL = (Phase.explicit, Phase.reuse, Phase.generate, Phase.target, Phase.shrink)


_QUICK = {"no caps", "broken hosts are not counted"}
"""Those that are caught within seconds; the others are looked for by make test-full."""


def _marked(mutant: Mutant) -> Any:
    marks = () if mutant.name in _QUICK else (pytest.mark.full,)
    return pytest.param(mutant, id=f"{mutant.invariant}: {mutant.name}", marks=marks)


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


@pytest.fixture
def ground(db: Database, clock: HeldClock, tmp_path: Path) -> Ground:
    """A database for all examples of one test."""
    return Ground(db, clock, tmp_path)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("shard", range(CI_SHARDS))
def test_rollouts_keep_their_promises_whatever_happens(ground: Ground, shard: int) -> None:
    play(ground, examples=IN_CI // CI_SHARDS // 2, number=shard)


@pytest.mark.full
@pytest.mark.nightly
@pytest.mark.timeout(0)
@pytest.mark.parametrize("shard", range(NIGHT_SHARDS))
def test_rollouts_keep_their_promises_over_ten_thousand_lives(ground: Ground, shard: int) -> None:
    play(ground, examples=BY_NIGHT // NIGHT_SHARDS // 2, number=1000 + shard)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("db", ["sqlite"], indirect=True)
@pytest.mark.parametrize("mutant", [_marked(mutant) for mutant in MUTANTS])
def test_a_hole_in_sql_is_caught_by_its_own_invariant(
    mutant: Mutant, ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant.seed(monkeypatch)
    heals = mutant.invariant == 15
    with pytest.raises(Broken) as caught:
        play(ground, examples=_CAUGHT_WITHIN, number=7, phases=[Phase.generate], heals=heals, first=mutant.first)
    assert caught.value.number == mutant.invariant, str(caught.value)
