"""One step of a rollout at a time: what each hold, deadline, soak, cap and answer of a person comes to."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from fleet.errors import Refused
from fleet.rollouts import actions
from fleet.rollouts.advance import advance
from fleet.rollouts.decisions import (
    AdmitLate,
    BeginWayBack,
    Dispatch,
    EndWave,
    Finish,
    Forgive,
    GiveUp,
    LiftHold,
    OpenWave,
    Park,
    Prefetch,
    Refill,
    RetryFailed,
    RollBack,
    SetHold,
    SkipQuarantined,
    Soak,
    StartClock,
    StopClock,
    StopSoak,
    Unpark,
    WithdrawPending,
)
from fleet.rollouts.facts import Candidate, CapFacts, RolloutFacts, Superseding, WaveFacts
from fleet.rollouts.selector import Selector
from fleet.rollouts.spec import Budget, FailFast, Gate, LateJoiners, OfflineSpec, OnFailure, RolloutSpec, WaveSpec
from fleet.rollouts.states import Hold, HostState, RolloutState, WaveState
from fleet.rollouts.windows import Freeze, Window
from fleet.rollouts.written import read_spec

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
HOUR_MS = 3_600_000
OPEN = WaveFacts(number=0, state=WaveState.OPEN, active_since=NOW)
LAST = WaveFacts(number=1, state=WaveState.PENDING, counts={HostState.PENDING: 9})
CANARY = WaveSpec(size=1, gate=Gate(), deadline_ms=HOUR_MS)
SPEC = RolloutSpec(waves=(CANARY, WaveSpec(gate=Gate())))


def _facts(counts: Mapping[HostState, int], spec: RolloutSpec = SPEC, **more: Any) -> RolloutFacts:
    first = replace(more.pop("first", OPEN), counts=counts)
    waves = (first, more.pop("last", LAST))[: len(spec.waves)]
    given: dict[str, Any] = {"state": RolloutState.RUNNING, "created_at": NOW, **more}
    return RolloutFacts(id=UUID(int=1), spec=spec, waves=waves, **given)


def _kinds(facts: RolloutFacts, now: datetime = NOW) -> list[type]:
    return [type(each) for each in advance(facts, now)]


S, F, P, A = HostState.SUCCEEDED, HostState.FAILED, HostState.PENDING, HostState.APPLYING


def test_the_spec_in_the_documentation_can_be_used() -> None:
    page = (Path(__file__).parents[2] / "docs" / "rollout-spec.md").read_text(encoding="utf-8")
    assert len(read_spec(page.split("```yaml\n")[1].split("```")[0]).waves) == 4


def test_a_wave_that_meets_its_gate_passes_with_its_numbers() -> None:
    (ended,) = advance(_facts({S: 1}), NOW)
    assert isinstance(ended, EndWave)
    assert ended.state is WaveState.PASSED
    assert ended.evidence == {
        "planned": 1, "gone": 0, "succeeded": 1, "failed": 0, "in_flight": 0, "failed_total": 0,
    }  # fmt: skip


@pytest.mark.parametrize("counts", [{S: 1, A: 1}, {S: 18, HostState.PARKED: 2}, {HostState.PARKED: 1}])
def test_what_is_in_flight_or_silent_is_no_success(counts: dict[HostState, int]) -> None:
    assert advance(_facts(counts), NOW) == ()


def test_a_canary_that_fails_is_rolled_back_and_any_other_wave_holds() -> None:
    assert _kinds(_facts({F: 1})) == [EndWave, RollBack]
    assert _kinds(_facts({F: 1}, is_way_back=True)) == [EndWave, SetHold]
    held = replace(SPEC, waves=(replace(CANARY, on_failure=OnFailure.HOLD), SPEC.waves[1]))
    assert _kinds(_facts({F: 1}, held)) == [EndWave, SetHold]


def test_a_failed_wave_holds_again_whatever_was_lifted() -> None:
    failed = replace(OPEN, state=WaveState.FAILED, active_since=None)
    (again,) = advance(_facts({F: 1}, first=failed), NOW)
    assert isinstance(again, SetHold)
    assert again.hold is Hold.GATE_FAILED


def test_most_failing_early_fails_the_wave_before_the_percentages_do() -> None:
    lenient = WaveSpec(gate=Gate(success_pct=0, tolerance_pct=100, min_successes=0))
    spec = RolloutSpec(waves=(lenient,), budget=Budget(max_failed_total=100, fail_fast=FailFast()))
    assert _kinds(_facts({S: 2, F: 3, P: 95}, spec)) == [EndWave, SetHold]
    assert _kinds(_facts({S: 2, F: 2, P: 96}, spec, candidates=())) != [EndWave, SetHold]


def test_failures_of_all_waves_are_one_budget_and_lifting_it_accepts_only_those_so_far() -> None:
    spec = RolloutSpec(waves=(WaveSpec(), WaveSpec()), budget=Budget(max_failed_total=2))
    done, going = replace(OPEN, state=WaveState.PASSED), replace(LAST, state=WaveState.OPEN, counts={F: 1, P: 5})
    facts = _facts({F: 2, S: 8}, spec, first=done, last=going)
    facts = replace(facts, waves=(replace(facts.waves[0], active_since=None), facts.waves[1]))
    (hold,) = advance(facts, NOW)
    assert isinstance(hold, SetHold)
    assert hold.hold is Hold.BUDGET
    held = replace(facts, holds=frozenset({Hold.BUDGET}))
    assert actions.lift(held, Hold.BUDGET) == (Forgive(failed=3), LiftHold(hold=Hold.BUDGET))
    assert advance(replace(facts, forgiven=3), NOW) == ()
    assert _kinds(replace(facts, forgiven=2)) == [SetHold]


def test_a_soak_begins_is_served_and_begins_anew_after_a_regress() -> None:
    spec = replace(SPEC, waves=(replace(CANARY, soak_ms=HOUR_MS, prefetch_next=True), SPEC.waves[1]))
    assert advance(_facts({S: 1}, spec), NOW) == (Soak(number=0),)
    soaking = replace(OPEN, state=WaveState.SOAKING, soak_since=NOW)
    later = NOW + timedelta(hours=1)
    assert advance(_facts({S: 1}, spec, first=soaking), later - timedelta(seconds=1)) == ()
    assert _kinds(_facts({S: 1}, spec, first=soaking), later) == [EndWave]
    again = replace(soaking, regressed_at=NOW + timedelta(minutes=1))
    assert advance(_facts({S: 99, F: 1}, spec, first=again), later) == (Soak(number=0),)
    assert advance(_facts({S: 90, F: 5, P: 5}, spec, first=again), later) == (StopSoak(number=0),)
    ahead = _facts({S: 1}, spec, first=soaking, last=replace(LAST, prefetched=False))
    assert advance(ahead, NOW) == (Prefetch(number=1),)


def test_neither_passed_nor_failed_at_the_deadline_in_active_time_is_inconclusive() -> None:
    facts = _facts({HostState.PARKED: 1})
    assert advance(facts, NOW + timedelta(minutes=59)) == ()
    (hold,) = advance(facts, NOW + timedelta(minutes=60))
    assert isinstance(hold, SetHold)
    assert hold.hold is Hold.INCONCLUSIVE


def test_time_in_which_a_wave_is_held_or_no_window_is_open_is_not_active() -> None:
    held = _facts({HostState.PARKED: 1}, holds=frozenset({Hold.USER}))
    assert advance(held, NOW + timedelta(minutes=20)) == (StopClock(number=0, active_ms=HOUR_MS // 3),)
    still = _facts({HostState.PARKED: 1}, first=replace(OPEN, active_since=None, active_ms=5))
    assert advance(still, NOW) == (StartClock(number=0),)
    night = replace(SPEC, windows=(Window(start="22:00", duration_ms=HOUR_MS // 2, cutoff_ms=0),))
    over = _facts({HostState.PARKED: 1}, night)
    assert advance(over, NOW + timedelta(hours=34)) == (), "half an hour of the first night"
    assert _kinds(over, NOW + timedelta(hours=35)) == [SetHold]


def test_a_freeze_of_all_stops_the_time_of_a_wave_and_one_of_some_does_not() -> None:
    def after_an_hour(selector: Selector) -> list[type]:
        freeze = Freeze(begins_at=NOW, ends_at=NOW + timedelta(minutes=30), selector=selector)
        return _kinds(_facts({HostState.PARKED: 1}, replace(SPEC, freezes=(freeze,))), NOW + timedelta(hours=1))

    assert after_an_hour(Selector()) == []
    assert after_an_hour(Selector(hosts=("web-*",))) == [SetHold]


def test_a_wave_waits_for_its_approval_and_no_other_answer_opens_it() -> None:
    spec = replace(SPEC, waves=(CANARY, replace(SPEC.waves[1], approval=True)))
    passed = replace(OPEN, state=WaveState.PASSED, active_since=None)
    facts = _facts({S: 1}, spec, first=passed)
    assert _kinds(facts) == [SetHold]
    held = replace(facts, holds=frozenset({Hold.APPROVAL}))
    with pytest.raises(Refused, match="approve the wave instead"):
        actions.lift(held, Hold.APPROVAL)
    assert LiftHold(hold=Hold.APPROVAL) in actions.approve(held, 1)
    assert advance(_facts({S: 1}, spec, first=passed, last=replace(LAST, approved=True)), NOW) == (OpenWave(number=1),)


def test_waive_and_retry_answer_a_failed_wave_and_nothing_else() -> None:
    failed = replace(OPEN, state=WaveState.FAILED, active_since=None)
    facts = _facts({F: 1}, first=failed, holds=frozenset({Hold.GATE_FAILED, Hold.USER}))
    waived, lifted = actions.waive(facts, 0, "the sensor lies")
    assert isinstance(waived, EndWave)
    assert (waived.state, waived.reason, waived.evidence["failed"]) == (WaveState.WAIVED, "the sensor lies", 1)
    assert lifted == LiftHold(hold=Hold.GATE_FAILED), "a person's own hold stays"
    assert actions.retry(facts, 0) == (RetryFailed(number=0), OpenWave(number=0), lifted)
    for hold in (Hold.GATE_FAILED, Hold.INCONCLUSIVE, Hold.SUPERSEDED):
        with pytest.raises(Refused, match="cannot lift"):
            actions.lift(replace(facts, holds=frozenset({hold})), hold)
    for number in (1, 7):
        with pytest.raises(Refused, match="cannot"):
            actions.waive(facts, number, "no")
    with pytest.raises(Refused, match="neither failed nor inconclusive"):
        actions.retry(_facts({A: 1}), 0)


def test_an_emptied_canary_is_filled_from_the_next_wave() -> None:
    assert advance(_facts({HostState.SKIPPED: 1}), NOW) == (Refill(number=0, taken_from=1, hosts=1),)


def test_hosts_are_parked_come_back_are_given_up_and_join() -> None:
    spec = replace(SPEC, offline=OfflineSpec(park=True), late_joiners=LateJoiners.CONVERGE)
    wave = replace(OPEN, silent=1, returned=1, overdue=1, quarantined=1)
    counts = {P: 2, HostState.PARKED: 2}
    assert _kinds(_facts(counts, spec, first=wave, late=1)) == [SkipQuarantined, Park, Unpark, GiveUp, AdmitLate]


def test_a_cap_of_the_fleet_keeps_hosts_back_and_others_go_before_them() -> None:
    candidates = tuple(
        Candidate(host_id=UUID(int=n), wave=0, position=n, labels={"site": site}, unavailable=n == 3)
        for n, site in enumerate(["a", "a", "b", "a"])
    )
    caps = (
        CapFacts(label="site", value="a", limit=2, unavailable=1),
        CapFacts(label="site", value="b", limit=1, unavailable=0),
    )
    facts = _facts({P: 4}, candidates=candidates, caps=caps)
    assert advance(facts, NOW) == tuple(Dispatch(host_id=UUID(int=n)) for n in (0, 2, 3))


def test_the_rate_bounds_what_goes_within_a_minute() -> None:
    candidates = tuple(Candidate(host_id=UUID(int=n), wave=0, position=n) for n in range(4))
    spec = replace(SPEC, rate_per_minute=10)
    assert len(advance(_facts({P: 4}, spec, candidates=candidates, dispatched_last_minute=8), NOW)) == 2


def test_a_pull_may_begin_before_the_window_but_no_longer_than_it_may_take() -> None:
    spec = replace(SPEC, windows=(Window(start="13:30", duration_ms=HOUR_MS),))
    facts = _facts({P: 1}, spec, candidates=(Candidate(host_id=UUID(int=1), wave=0, position=0),))
    assert _kinds(facts) == []
    assert _kinds(facts, NOW + timedelta(minutes=31)) == [Dispatch]


def test_one_outage_holds_and_a_newer_rollout_holds_then_takes_over() -> None:
    (outage,) = advance(_facts({P: 9}, infrastructure_in_a_row=5), NOW)
    assert isinstance(outage, SetHold)
    assert outage.hold is Hold.MIRROR_OUTAGE
    newer = Superseding(id=UUID(int=2), begun=False)
    assert _kinds(_facts({P: 9}, superseded_by=newer)) == [SetHold]
    assert advance(_facts({P: 9}, superseded_by=replace(newer, begun=True)), NOW)[0] == WithdrawPending(
        reason=f"rollout {UUID(int=2)} of the same images took over", skipped=True
    )
    called = replace(newer, begun=True, number=7)
    assert advance(_facts({P: 9}, superseded_by=called), NOW)[0] == WithdrawPending(
        reason="rollout #7 of the same images took over", skipped=True
    )
    gone = _facts({P: 9}, holds=frozenset({Hold.SUPERSEDED}), first=replace(OPEN, active_since=None))
    assert _kinds(gone) == [LiftHold]


def test_a_rollout_that_rolls_back_ends_with_its_way_back() -> None:
    back = RolloutState.ROLLING_BACK
    none = replace(LAST, counts={})
    assert _kinds(_facts({F: 1, P: 1}, state=back)) == [WithdrawPending]
    assert _kinds(_facts({F: 1, A: 1}, state=back, last=none)) == []
    assert _kinds(_facts({F: 1}, state=back, last=none, undoable=True)) == [BeginWayBack]
    assert _kinds(_facts({F: 1}, state=back, last=none, way_back=RolloutState.RUNNING)) == []
    last = advance(_facts({F: 1}, state=back, last=none, way_back=RolloutState.COMPLETED), NOW)[-1]
    assert last == Finish(state=RolloutState.ROLLED_BACK, reason="the way back is completed")
    last = advance(_facts({F: 1}, state=back, last=none), NOW)[-1]
    assert last == Finish(state=RolloutState.ROLLED_BACK, reason="nothing had to be brought back")
    with pytest.raises(Refused, match="itself a way back"):
        actions.roll_back(_facts({F: 1}, is_way_back=True), "no")


def test_where_no_host_is_left_every_wave_ends_with_the_rollout() -> None:
    gone = {HostState.SKIPPED: 1}
    *ended, last = advance(_facts(gone, last=replace(LAST, counts={})), NOW)
    assert [(each.number, each.state, each.reason) for each in ended if isinstance(each, EndWave)] == [
        (0, WaveState.FAILED, "no host of it was left to go"),
        (1, WaveState.FAILED, "no host of it was left to go"),
    ]
    assert last == Finish(state=RolloutState.COMPLETED)


@pytest.mark.parametrize("state", [RolloutState.ABORTING, RolloutState.ROLLING_BACK])
def test_nobody_is_told_that_a_rollout_goes_on_that_is_being_ended(state: RolloutState) -> None:
    facts = _facts({S: 1}, state=state, holds=frozenset({Hold.USER}))
    acts: tuple[Callable[[], object], ...] = (
        lambda: actions.approve(facts, 1),
        lambda: actions.pause(facts, NOW, "wait"),
        lambda: actions.lift(facts, Hold.USER),
        lambda: actions.waive(facts, 0, "all the same"),
        lambda: actions.retry(facts, 0),
    )
    for act in acts:
        with pytest.raises(Refused, match=f"the rollout.* is {state.words}"):
            act()


def test_a_release_that_is_too_young_does_not_begin() -> None:
    spec = replace(SPEC, min_release_age_ms=HOUR_MS)
    facts = _facts({P: 1}, spec, state=RolloutState.PLANNED, first_seen_at=NOW - timedelta(minutes=30))
    assert _kinds(facts) == []
    assert len(_kinds(facts, NOW + timedelta(minutes=30))) == 1
