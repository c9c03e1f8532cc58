"""Which host comes in which wave: the same each time, each stratum in its share, smaller waves within larger ones."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.rollouts.caps import Cap
from fleet.rollouts.selector import Selector
from fleet.rollouts.size import Size, rounded_down, rounded_up
from fleet.rollouts.spec import Gate, RolloutSpec, WaveSpec
from fleet.rollouts.warnings import NextTimes, PlannedOn, warnings
from fleet.rollouts.waves import PlacedHost, cut, in_order
from fleet.rollouts.windows import Freeze, Times, Window

NOW = datetime(2026, 11, 25, tzinfo=UTC)


def _hosts(count: int, sites: int = 3) -> list[PlacedHost]:
    return [PlacedHost(host_id=UUID(int=n), name=f"h{n}", labels={"site": f"s{n % sites}"}) for n in range(count)]


def _spec(*sizes: Size) -> RolloutSpec:
    return RolloutSpec(waves=tuple(WaveSpec(size=size) for size in (*sizes, "rest")), stratify_by=("site",))


@given(st.integers(0, 60), st.integers(0, 30), st.integers(0, 30), st.uuids())
def test_a_smaller_first_wave_is_a_part_of_a_larger_and_nothing_depends_on_the_order_of_rows(
    count: int, small: int, more: int, seed: UUID
) -> None:
    """Invariant 20."""
    hosts = _hosts(count)
    first = cut(_spec(small), hosts, seed)
    shuffled = hosts[::-1]
    assert cut(_spec(small), shuffled, seed) == first
    assert set(first[0]) <= set(cut(_spec(small + more), hosts, seed)[0])
    assert Counter(id for wave in first for id in wave) == Counter(host.host_id for host in hosts)


@given(st.integers(1, 80), st.integers(1, 5), st.integers(1, 80), st.uuids())
def test_any_beginning_has_of_each_stratum_its_share_to_within_a_host(
    n: int, sites: int, first: int, seed: UUID
) -> None:
    hosts = _hosts(n, sites)
    all_ = Counter(host.labels["site"] for host in hosts)
    begun = Counter(host.labels["site"] for host in in_order(hosts, seed, ("site",))[:first])
    taken = min(first, n)
    for site, count in all_.items():
        assert abs(begun[site] - count * taken / n) <= 1.5


def test_waves_of_their_own_selector_take_whom_they_mean_and_the_rest_takes_the_others() -> None:
    canary = WaveSpec(selector=Selector(hosts=("h1", "h2")), size="rest")
    spec = RolloutSpec(waves=(canary, WaveSpec(size="50%"), WaveSpec()))
    waves = cut(spec, _hosts(10), UUID(int=1))
    assert set(waves[0]) == {UUID(int=1), UUID(int=2)}
    assert [len(wave) for wave in waves] == [2, 5, 3]


@pytest.mark.parametrize(
    ("size", "of", "up", "down"),
    [("10%", 11, 2, 1), ("10%", 5, 1, 0), ("100%", 7, 7, 7), (3, 2, 2, 3), ("rest", 4, 4, 4)],
)
def test_waves_round_up_and_limits_round_down(size: Size, of: int, up: int, down: int) -> None:
    assert rounded_up(size, of, of) == up
    assert rounded_down(size, of) == down


def test_a_plan_is_warned_about_in_sentences() -> None:
    hosts = [PlannedOn(host="a", labels={"site": "x"}), PlannedOn(host="b", zone="Nowhere/At_All")]
    spec = RolloutSpec(
        waves=(WaveSpec(size=1, gate=Gate(min_successes=2)), WaveSpec()),
        windows=(Window(start="22:00", duration_ms=3_600_000, zone="host"),),
    )
    fleet = [*hosts, PlannedOn(host="c", labels={"site": "y"})]
    assert warnings(spec, hosts, NOW, [Cap(label="site", max_unavailable="25%")], fleet) == (
        "b: no window admits it within 14 days; look at the windows of the spec and of its policy, their cut-off, and the freezes",
        "wave 1 has 1 host and asks for 2 successes; it can never pass",
        "the cap site=x of 25% lets none of its 1 hosts go; give a larger one",
    )


def test_only_a_wave_that_has_hosts_and_too_few_can_never_pass() -> None:
    """Earlier waves take theirs first, and one that is left without any is passed over."""
    gate = Gate(min_successes=2)
    waves = (WaveSpec(size=2), WaveSpec(size=2, gate=gate), WaveSpec(gate=gate))
    spec = RolloutSpec(waves=waves)
    short = "wave 2 has 1 host and asks for 2 successes; it can never pass"
    told = {count: warnings(spec, [PlannedOn(host=str(n)) for n in range(count)], NOW) for count in (2, 3, 4, 6)}
    assert told == {2: (), 3: (short,), 4: (), 6: ()}


def test_a_wave_whose_selector_takes_nobody_is_warned_about() -> None:
    hosts = [PlannedOn(host="a", labels={"site": "x"}), PlannedOn(host="b")]
    waves = (WaveSpec(selector=Selector(labels={"site": "y"}), gate=Gate()), WaveSpec())
    assert warnings(RolloutSpec(waves=waves), hosts, NOW) == (
        "wave 1 takes no host of the plan; hosts of later waves take their place; look at its selector",
    )
    there = (WaveSpec(selector=Selector(labels={"site": "x"}), gate=Gate()), WaveSpec())
    assert warnings(RolloutSpec(waves=there), hosts, NOW) == ()


def test_waves_that_ended_and_hosts_that_had_their_turn_are_no_reason_to_warn() -> None:
    """Whoever looks while the last wave goes is told nothing of a first one that passed."""
    canary, *others = (PlannedOn(host=name, labels={"role": name}) for name in ("canary", "a", "b", "c"))
    gate = Gate(min_successes=3)
    waves = (WaveSpec(selector=Selector(labels={"role": "canary"})), WaveSpec(size=3, gate=gate), WaveSpec())
    spec = RolloutSpec(waves=waves)
    assert warnings(spec, others, NOW, planned=[canary, *others]) == ()
    without = [each for each in others if each.host != "c"]
    assert len(warnings(spec, without, NOW, planned=without)) == 2
    assert warnings(spec, without, NOW, planned=without, over={0, 1}) == ()


def test_hosts_that_are_bound_alike_are_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """There may be a hundred thousand that wait for a window, and each look takes a while."""
    looks: list[datetime] = []
    missed = Times.missed

    def counted(times: Times, since: datetime, until: datetime, zone: str) -> int:
        looks.append(since)
        return missed(times, since, until, zone)

    monkeypatch.setattr(Times, "missed", counted)
    night = (Window(start="22:00", duration_ms=3 * 3_600_000, zone="host"),)
    times = NextTimes(RolloutSpec(), NOW)
    hosts = [PlannedOn(host=f"web-{n}", zone=zone, windows=night) for n in range(50) for zone in ("UTC", "Asia/Tokyo")]
    yesterday, before = NOW - timedelta(days=1), NOW - timedelta(days=2)
    assert {times.missed(host, yesterday) for host in hosts} == {1}
    assert {times.missed(host, before) for host in hosts} == {2}
    assert sorted(looks) == [before, before, yesterday, yesterday]


def test_a_plan_that_is_well_has_no_warnings() -> None:
    host = PlannedOn(host="a")
    freeze = Freeze(begins_at=NOW, ends_at=NOW + timedelta(days=13))
    assert warnings(RolloutSpec(freezes=(freeze,)), [host], NOW) == ()
    longer = Freeze(begins_at=NOW, ends_at=NOW + timedelta(days=15))
    assert len(warnings(RolloutSpec(freezes=(longer,)), [host], NOW)) == 1
