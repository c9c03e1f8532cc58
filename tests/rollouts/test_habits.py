"""Simulated hosts behave as their history says, the same for the same seed; what is chosen is worse comes on top."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from fleet.rollouts.habits import AS_BEFORE, Chosen, HostHabits, simulated, unknown
from fleet.rollouts.rehearsed import Rehearsed
from fleet.rollouts.states import FailureClass

BEGIN = datetime(2026, 11, 25, 12, tzinfo=UTC)
LONGEST = timedelta(days=31)
DAY_MS = 86_400_000
STEADY = HostHabits(
    id=UUID(int=1),
    name="steady",
    updates=20,
    pulls_ms=(1000, 1100, 1200),
    applies_ms=(500, 500, 600),
    known_ms=100 * DAY_MS,
    mirror="https://harbor.lan/hub",
)
NEW = HostHabits(id=UUID(int=2), name="new")


def _draw(*habits: HostHabits, seed: int = 0, chosen: Chosen = AS_BEFORE) -> tuple[Rehearsed, ...]:
    return simulated(habits, BEGIN, LONGEST, seed=seed, chosen=chosen)


def _share(habits: HostHabits, wanted: Callable[[Rehearsed], bool]) -> float:
    many = [replace(habits, id=UUID(int=n)) for n in range(1000)]
    return sum(map(wanted, _draw(*many))) / 1000


def test_the_same_seed_draws_the_same_hosts_and_another_one_others() -> None:
    hosts = [replace(STEADY, id=UUID(int=n)) for n in range(50)]
    assert _draw(*hosts) == _draw(*hosts)
    assert _draw(*hosts) != _draw(*hosts, seed=1)
    assert _draw(*hosts)[7] == _draw(*hosts[5:])[2]


def test_times_are_a_hosts_own_and_those_of_the_fleet_where_it_has_few() -> None:
    steady, new = _draw(STEADY, NEW)
    assert steady.pull_ms in STEADY.pulls_ms and new.pull_ms in STEADY.pulls_ms
    (alone,) = _draw(NEW)
    assert (alone.pull_ms, alone.apply_ms, alone.fails) == (30_000, 10_000, None)
    assert unknown([STEADY, NEW]) == ("new",)


def test_hosts_fail_as_often_as_they_did() -> None:
    half = replace(STEADY, failures=(FailureClass.RELEASE,) * 10)
    assert 0.45 < _share(half, lambda host: host.fails is FailureClass.RELEASE) < 0.55
    assert _share(STEADY, lambda host: host.fails is not None) == 0


def test_a_host_fails_as_it_did_and_as_others_only_where_it_never_did() -> None:
    """Whose fault it was decides whether there is another try."""
    sick = replace(STEADY, id=UUID(int=9), failures=(FailureClass.TIMEOUT,) * 20)
    others = [replace(STEADY, id=UUID(int=n), failures=(FailureClass.RELEASE,) * 20) for n in range(100, 150)]
    host, *rest = _draw(sick, *others)
    assert host.fails is FailureClass.TIMEOUT
    assert {each.fails for each in rest} == {FailureClass.RELEASE}


def test_a_host_that_is_silent_now_stays_so_for_as_long_as_before() -> None:
    silent = replace(STEADY, away_ms=7_200_000, spells_ms=(3_600_000,))
    (host,) = _draw(silent)
    heard = BEGIN - timedelta(hours=2)
    assert host.away[0] == (heard, BEGIN + timedelta(hours=1))
    (never_back,) = _draw(replace(silent, spells_ms=()))
    assert never_back.away == ((heard, BEGIN + LONGEST),)


def test_a_host_was_not_heard_of_for_longer_than_it_was_parked() -> None:
    (host,) = _draw(replace(STEADY, spells_ms=(3_600_000,) * 10))
    assert host.away and all(back - since == timedelta(hours=1, minutes=15) for since, back in host.away)


def test_a_host_that_was_silent_is_so_again_about_as_often() -> None:
    roaming = replace(STEADY, spells_ms=(3_600_000,) * 10)
    times = sum(len(host.away) for host in _draw(*(replace(roaming, id=UUID(int=n)) for n in range(200)))) / 200
    assert 2.5 < times < 3.7, "ten times in 100 days are three in 31"


def test_what_is_chosen_and_fits_no_host_is_told() -> None:
    assert Chosen(off=("st*",), slower=2, slow_mirror="harbor").without_effect([STEADY, NEW]) == ""
    assert "switch off 'nobody'" in Chosen(off=("st*", "nobody")).without_effect([STEADY, NEW])
    assert "slow 'south' down" in Chosen(slower=2, slow_mirror="south").without_effect([STEADY, NEW])


def test_what_is_chosen_is_worse_and_everything_else_stays() -> None:
    (before,) = _draw(STEADY)
    (off,) = _draw(STEADY, chosen=Chosen(off=("st*",), off_for=timedelta(hours=2)))
    assert off == replace(before, away=((BEGIN - LONGEST, BEGIN + timedelta(hours=2)),))
    (slow,) = _draw(STEADY, chosen=Chosen(slower=4, slow_mirror="harbor"))
    assert slow == replace(before, pull_ms=before.pull_ms * 4)
    assert _draw(STEADY, chosen=Chosen(slower=4, slow_mirror="south")) == (before,)
