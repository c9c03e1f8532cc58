"""A rehearsal tells what a rollout would do, by the same engine, and touches nothing."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from fleet.rollouts.caps import Cap
from fleet.rollouts.rehearsal import rehearse
from fleet.rollouts.rehearsed import Faults, Rehearsal, Rehearsed
from fleet.rollouts.spec import STAGED, Budget, OfflineSpec, RolloutSpec
from fleet.rollouts.states import FailureClass, Hold, HostState, RolloutState, WaveState
from fleet.rollouts.windows import Window

BEGIN = datetime(2026, 11, 25, 12, tzinfo=UTC)
SEED = UUID(int=7)
SPEC = RolloutSpec(waves=STAGED, budget=Budget(), offline=OfflineSpec(park=True))
HOSTS = tuple(Rehearsed(id=UUID(int=n), name=f"h{n}", labels={"site": "ab"[n % 2]}) for n in range(20))
DAY = timedelta(days=1)


def _rehearse(spec: RolloutSpec = SPEC, hosts: tuple[Rehearsed, ...] = HOSTS, **more: object) -> Rehearsal:
    return rehearse(spec, hosts, BEGIN, seed=SEED, **more)  # type: ignore[arg-type]


def _away(name: str, since: datetime, until: datetime) -> tuple[Rehearsed, ...]:
    """Return the hosts, of one of which nothing is heard for a while."""
    return tuple(replace(host, away=((since, until),)) if host.name == name else host for host in HOSTS)


def test_a_good_image_reaches_every_host_wave_by_wave_and_its_soaks_are_in_the_time() -> None:
    found = _rehearse()
    assert found.state is RolloutState.COMPLETED
    assert found.counts == {HostState.SUCCEEDED: 20}
    assert [sum(wave.counts.values()) for wave in found.waves] == [1, 2, 10, 7]
    assert [wave.state for wave in found.waves] == [WaveState.PASSED] * 4
    assert found.ended_at is not None
    assert timedelta(minutes=70) < found.ended_at - BEGIN < timedelta(hours=2)


def test_a_bad_image_reaches_the_canary_alone_and_goes_back() -> None:
    found = _rehearse(faults=Faults(bad_image=True))
    assert (found.state, len(found.touched)) == (RolloutState.ROLLED_BACK, 1)
    assert found.counts == {HostState.FAILED: 1, HostState.CANCELLED: 19}
    assert any(said == "way back: the rollout is completed" for _, said in found.events)


def test_a_host_that_is_off_is_parked_and_catches_up() -> None:
    off = _away("h3", BEGIN - DAY, BEGIN + 3 * DAY)
    spec = replace(SPEC, waves=tuple(replace(w, gate=replace(w.gate, success_pct=80)) for w in STAGED if w.gate))
    found = _rehearse(spec, off)
    assert found.state is RolloutState.COMPLETED
    assert found.ended_at is not None
    assert found.ended_at > BEGIN + 3 * DAY
    assert any(said.endswith("silent hosts are parked") for _, said in found.events)


@pytest.mark.parametrize(
    ("after", "parked"), [(None, False), (timedelta(minutes=5), True), (timedelta(hours=1), False)]
)
def test_how_soon_a_host_is_silent_is_for_the_spec_to_say(after: timedelta | None, parked: bool) -> None:
    """One of which nothing is heard for ten minutes before the rollout begins, and for ten more."""
    hosts = _away("h3", BEGIN - timedelta(minutes=10), BEGIN + timedelta(minutes=3))
    after_ms = None if after is None else round(after.total_seconds() * 1000)
    spec = RolloutSpec(offline=OfflineSpec(park=True, after_ms=after_ms))
    found = _rehearse(spec, hosts)
    assert found.state is RolloutState.COMPLETED and found.counts == {HostState.SUCCEEDED: 20}
    assert any(said.endswith("silent hosts are parked") for _, said in found.events) is parked


def test_an_outage_holds_the_rollout_and_counts_against_nobody() -> None:
    spec = replace(
        SPEC, waves=(replace(STAGED[3], gate=None),), tries=replace(SPEC.tries, retry_on=tuple(FailureClass))
    )
    found = _rehearse(spec, faults=Faults(outage=(BEGIN, BEGIN + DAY)))
    assert Hold.MIRROR_OUTAGE in found.holds
    assert found.touched == ()


def test_caps_of_the_fleet_are_kept_and_told() -> None:
    spec = replace(SPEC, waves=(replace(STAGED[3], gate=None),))
    found = _rehearse(spec, caps=(Cap(label="site", max_unavailable="25%"),))
    assert found.state is RolloutState.COMPLETED
    assert found.limits == {"site=a": 2, "site=b": 2}
    assert found.most_away == found.limits


def test_nothing_is_touched_outside_of_the_windows() -> None:
    spec = replace(SPEC, windows=(Window(start="22:00", duration_ms=6 * 3_600_000),))
    found = _rehearse(spec)
    assert found.state is RolloutState.COMPLETED
    assert found.waves[0].ended_at is not None
    assert found.waves[0].ended_at >= BEGIN.replace(hour=22)


def test_a_host_is_touched_only_in_the_windows_of_its_own_policy_and_brought_back_at_any_time() -> None:
    night = (Window(start="22:00", duration_ms=6 * 3_600_000),)
    found = _rehearse(hosts=tuple(replace(host, windows=night) for host in HOSTS))
    assert (found.state, found.counts) == (RolloutState.COMPLETED, {HostState.SUCCEEDED: 20})
    assert found.waves[0].ended_at is not None and found.waves[0].ended_at >= BEGIN.replace(hour=22)
    late = tuple(replace(host, windows=night, apply_ms=14 * 60_000) for host in HOSTS)
    spec = replace(SPEC, waves=(replace(STAGED[0], soak_ms=12 * 3_600_000), *STAGED[1:]))
    ill = tuple(replace(host, regresses_after_ms=11 * 3_600_000) for host in late)
    back = _rehearse(spec, ill)
    assert back.state is RolloutState.ROLLED_BACK and back.ended_at is not None
    assert back.ended_at < (BEGIN + DAY).replace(hour=22), "the way back waits for no night"


def test_a_wave_waits_for_its_approval() -> None:
    spec = replace(SPEC, waves=(STAGED[0], replace(STAGED[3], approval=True)))
    waits = _rehearse(spec)
    assert (waits.ended_at, waits.holds, len(waits.touched)) == (None, frozenset({Hold.APPROVAL}), 1)
    given = _rehearse(spec, faults=Faults(approve_after=timedelta(hours=2)))
    assert given.state is RolloutState.COMPLETED


def test_a_regress_in_the_soak_stops_the_rollout_at_the_canary() -> None:
    ill = tuple(replace(host, regresses_after_ms=5 * 60_000) for host in HOSTS)
    found = _rehearse(hosts=ill)
    assert (found.state, len(found.touched)) == (RolloutState.ROLLED_BACK, 1)


def test_a_rehearsal_is_the_same_each_time() -> None:
    assert _rehearse() == _rehearse()


def test_while_the_centre_is_away_nothing_is_decided_and_nothing_is_lost() -> None:
    away = (BEGIN + timedelta(minutes=5), BEGIN + timedelta(hours=5))
    found = _rehearse(faults=Faults(centre_away=away))
    assert found.state is RolloutState.COMPLETED
    assert not [at for at, _ in found.events if away[0] <= at < away[1]]
    assert found.ended_at is not None and found.ended_at > away[1]


def test_caps_count_the_hosts_that_are_not_in_the_rollout() -> None:
    others = [Rehearsed(id=UUID(int=100 + n), name=f"o{n}", labels={"site": "a"}, unhealthy=n < 2) for n in range(10)]
    spec = replace(SPEC, waves=(replace(STAGED[3], gate=None),))
    found = _rehearse(spec, caps=(Cap(label="site", max_unavailable="25%"),), others=others)
    assert (found.limits["site=a"], found.most_away["site=a"]) == (5, 5)
    assert (found.limits["site=b"], found.most_away["site=b"]) == (2, 2)


def test_decisions_are_told_in_words() -> None:
    said = [text for _, text in _rehearse(faults=Faults(bad_image=True)).events]
    assert said[:3] == ["the rollout begins", "wave 1 is opened", said[2]]
    assert not [text for text in said if "(" in text and "host_id" in text]


def test_a_wave_that_pulled_ahead_is_done_sooner() -> None:
    slow = tuple(replace(host, pull_ms=600_000) for host in HOSTS)
    waves = tuple(replace(wave, prefetch_next=number < 3) for number, wave in enumerate(SPEC.waves))
    plain, ahead = _rehearse(hosts=slow), _rehearse(replace(SPEC, waves=waves), slow)
    assert plain.ended_at is not None and ahead.ended_at is not None
    assert plain.ended_at - ahead.ended_at > timedelta(minutes=20), (
        "three waves had their bytes before they were opened"
    )
