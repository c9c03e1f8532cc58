"""Rollouts keep their promises whatever happens, and each promise is worth something: it catches what breaks it."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase

from fleet.history.sql.database import Database
from tests.history.conftest import HeldClock
from tests.history.mutants import MUTANTS, Mutant
from tests.history.rollout_lives import (
    CAUGHT_WITHIN,
    CI_SHARDS,
    NIGHT_SHARDS,
    SEEDS,
    play,
    play_by_night,
    play_in_ci,
)
from tests.history.rollout_machine import Ground
from tests.rollouts.recount import Broken

pytestmark = pytest.mark.timeout(1200)

_QUICK = {"no caps", "broken hosts are not counted"}
"""Those that are caught within seconds; the others are looked for by make test-full."""


def _marked(mutant: Mutant) -> Any:
    marks = () if mutant.name in _QUICK else (pytest.mark.full,)
    return pytest.param(mutant, id=f"{mutant.invariant}: {mutant.name}", marks=marks)


@pytest.fixture
def ground(db: Database, clock: HeldClock, tmp_path: Path) -> Ground:
    """A database for all examples of one test."""
    return Ground(db, clock, tmp_path)


@pytest.mark.parametrize(
    ("db", "shard"),
    [
        pytest.param(kind, shard, marks=pytest.mark.postgresql if kind == "postgresql" else ())
        for kind, shards in CI_SHARDS.items()
        for shard in range(shards)
    ],
    indirect=["db"],
)
def test_rollouts_keep_their_promises_whatever_happens(ground: Ground, shard: int) -> None:
    play_in_ci(ground, shard)


@pytest.mark.full
@pytest.mark.nightly
@pytest.mark.timeout(0)
@pytest.mark.parametrize("shard", range(NIGHT_SHARDS), ids="shard-{:02}".format)
def test_rollouts_keep_their_promises_by_night(ground: Ground, shard: int) -> None:
    play_by_night(ground, shard)


@pytest.mark.parametrize("db", ["sqlite"], indirect=True)
@pytest.mark.parametrize("mutant", [_marked(mutant) for mutant in MUTANTS])
def test_a_hole_in_sql_is_caught_by_its_own_invariant(
    mutant: Mutant, ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant.seed(monkeypatch)
    how: dict[str, Any] = {"phases": [Phase.generate], "heals": mutant.invariant == 15, "first": mutant.first}
    with pytest.raises(Broken) as caught:
        for number in range(SEEDS):
            play(ground, examples=CAUGHT_WITHIN, number=number, **how)
    assert caught.value.number == mutant.invariant, str(caught.value)
