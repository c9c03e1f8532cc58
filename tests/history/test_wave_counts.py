"""Hosts of a wave are counted by state, and where most are in one state, that one is what the others leave."""

import pytest
from sqlalchemy import func, select, update

from fleet.history.rollouts import wave_counts
from fleet.history.rollouts.wave_counts import Counts, counts_of
from fleet.history.tables.rollouts import rollout_hosts, waves
from fleet.rollouts.spec import RolloutSpec, WaveSpec
from fleet.rollouts.states import HostState
from tests.history.world import World, container

SPEC = RolloutSpec(waves=(WaveSpec(size=4), WaveSpec()))


@pytest.fixture
def counted(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world with a rollout of ten hosts, where four of a kind are many."""
    monkeypatch.setattr(wave_counts, "MANY", 4)
    for number in range(10):
        world.add_host(f"h{number}", container("web"))
    world.rollout(spec=SPEC)
    return world


def _both(world: World) -> tuple[Counts, Counts]:
    """Return what is told, and what stands there."""
    c = rollout_hosts.c
    with world.db.reading() as connection:
        found = connection.execute(select(waves).order_by(waves.c.number)).mappings().all()
        told = counts_of(connection, found[0]["rollout_id"], found)
        raw: Counts = {wave["number"]: {} for wave in found}
        for number, state, hosts in connection.execute(select(c.wave, c.state, func.count()).group_by(c.wave, c.state)):
            raw[number][state] = hosts
    return {number: dict(told[number]) for number in raw}, raw


def _move(world: World, to: HostState, first: int, last: int) -> None:
    c = rollout_hosts.c
    with world.db.writing() as connection:
        connection.execute(update(rollout_hosts).where(c.position.between(first, last)).values(state=to))


def test_counts_are_those_of_the_rows_whatever_most_hosts_do(counted: World) -> None:
    """At each step the state of most is another one, which was counted at the step before."""
    assert _both(counted)[0] == {0: {HostState.PENDING: 4}, 1: {HostState.PENDING: 6}}
    for state, first, last in [
        (HostState.SUCCEEDED, 0, 3),
        (HostState.SKIPPED, 4, 4),
        (HostState.SUCCEEDED, 5, 8),
        (HostState.REGRESSED, 0, 0),
        (HostState.SUCCEEDED, 9, 9),
    ]:
        _move(counted, state, first, last)
        for _ in range(2):
            told, raw = _both(counted)
            assert told == raw


def test_a_wave_of_an_earlier_release_is_counted(counted: World) -> None:
    with counted.db.writing() as connection:
        connection.execute(update(waves).values(hosts=None))
    _move(counted, HostState.FAILED, 2, 6)
    told, raw = _both(counted)
    assert told == raw
