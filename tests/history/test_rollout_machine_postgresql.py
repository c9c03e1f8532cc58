"""Rollouts keep their promises on PostgreSQL whatever happens."""

from pathlib import Path

import pytest

from fleet.history.database import Database
from tests.history.conftest import HeldClock
from tests.history.rollout_lives import CI_SHARDS, NIGHT_SHARDS, play_by_night, play_in_ci
from tests.history.rollout_machine import Ground

pytestmark = [
    pytest.mark.parametrize("db", ["postgresql"], indirect=True),
    pytest.mark.postgresql,
    pytest.mark.timeout(1200),
]


@pytest.fixture
def ground(db: Database, clock: HeldClock, tmp_path: Path) -> Ground:
    """A database for all examples of one test."""
    return Ground(db, clock, tmp_path)


@pytest.mark.parametrize("shard", range(CI_SHARDS))
def test_rollouts_keep_their_promises_whatever_happens(ground: Ground, shard: int) -> None:
    play_in_ci(ground, shard)


@pytest.mark.full
@pytest.mark.nightly
@pytest.mark.timeout(0)
@pytest.mark.parametrize("shard", range(NIGHT_SHARDS))
def test_rollouts_keep_their_promises_by_night(ground: Ground, shard: int) -> None:
    play_by_night(ground, shard)
