"""What a rollout does next, by its facts alone."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.rollouts.advance import (
    Begin,
    Candidate,
    Decision,
    Dispatch,
    EndWave,
    Finish,
    OpenWave,
    RolloutFacts,
    WaveFacts,
    WithdrawPending,
    advance,
)
from fleet.rollouts.release import Answer, look_again
from fleet.rollouts.spec import RolloutSpec, TrySpec
from fleet.rollouts.states import LIVE, CommandState, Hold, HostState, RolloutState, WaveState
from fleet.rollouts.tries import after_expiry, backoff
from fleet.rollouts.verdict import settled, verdict
from fleet.updates.outcome import Result

NOW = datetime(2026, 11, 25, tzinfo=UTC)
ONE = UUID(int=1)


def _facts(
    state: RolloutState = RolloutState.RUNNING,
    wave: WaveState = WaveState.OPEN,
    counts: dict[HostState, int] | None = None,
    candidates: int = 0,
    holds: frozenset[Hold] = frozenset(),
    most: int = 25,
) -> RolloutFacts:
    return RolloutFacts(
        id=ONE,
        spec=RolloutSpec(max_parallel=most),
        state=state,
        created_at=NOW,
        waves=(WaveFacts(number=0, state=wave, counts=counts or {}),),
        candidates=tuple(Candidate(host_id=UUID(int=n), wave=0, position=-n) for n in range(candidates)),
        holds=holds,
    )


def _ends(decisions: tuple[Decision, ...]) -> list[WaveState]:
    return [each.state for each in decisions if isinstance(each, EndWave)]


def test_a_planned_rollout_begins_and_opens_its_wave() -> None:
    assert advance(_facts(RolloutState.PLANNED, WaveState.PENDING), NOW) == (Begin(),)
    assert advance(_facts(wave=WaveState.PENDING), NOW) == (OpenWave(number=0),)


def test_hosts_go_in_order_and_no_more_than_may_be_live() -> None:
    facts = _facts(counts={HostState.PENDING: 5, HostState.PULLING: 2}, candidates=5, most=4)
    assert advance(facts, NOW) == (Dispatch(host_id=UUID(int=4)), Dispatch(host_id=UUID(int=3)))


@pytest.mark.parametrize("state", [RolloutState.PLANNED, RolloutState.RUNNING])
@pytest.mark.parametrize("wave", [WaveState.PENDING, WaveState.OPEN])
def test_a_held_rollout_begins_nothing(state: RolloutState, wave: WaveState) -> None:
    assert advance(_facts(state, wave, {HostState.PENDING: 2}, 2, frozenset({Hold.USER})), NOW) == ()


@pytest.mark.parametrize(
    ("counts", "wave", "end"),
    [
        ({HostState.SUCCEEDED: 2, HostState.SKIPPED: 1}, WaveState.PASSED, RolloutState.COMPLETED),
        ({HostState.SUCCEEDED: 2, HostState.FAILED: 1}, WaveState.FAILED, RolloutState.COMPLETED_WITH_FAILURES),
    ],
)
def test_a_wave_ends_with_its_last_host(counts: dict[HostState, int], wave: WaveState, end: RolloutState) -> None:
    assert _ends(advance(_facts(counts=counts), NOW)) == [wave]
    assert advance(_facts(wave=wave, counts=counts), NOW) == (Finish(state=end),)
    assert advance(_facts(counts={**counts, HostState.APPLYING: 1}), NOW) == ()


def test_an_aborting_rollout_withdraws_who_waits_and_lets_end_who_is_live() -> None:
    aborting = RolloutState.ABORTING
    (withdraw,) = advance(_facts(aborting, counts={HostState.PENDING: 1, HostState.APPLYING: 1}), NOW)
    assert isinstance(withdraw, WithdrawPending)
    assert advance(_facts(aborting, counts={HostState.CANCELLED: 1, HostState.APPLYING: 1}), NOW) == ()
    ended = advance(_facts(aborting, counts={HostState.CANCELLED: 1, HostState.SUCCEEDED: 1}), NOW)
    assert _ends(ended) == [WaveState.FAILED]
    assert isinstance(ended[-1], Finish)
    assert ended[-1].state is RolloutState.ABORTED


def test_an_expired_rollout_is_wound_down() -> None:
    late = NOW + timedelta(days=30)
    (withdraw,) = advance(_facts(counts={HostState.PENDING: 1}), late)
    assert isinstance(withdraw, WithdrawPending)
    last = advance(_facts(counts={HostState.CANCELLED: 1}), late)[-1]
    assert isinstance(last, Finish)
    assert last.state is RolloutState.EXPIRED


_TOUCHABLE = (WaveState.OPEN, WaveState.SOAKING, WaveState.PASSED, WaveState.WAIVED)
_COUNTS = st.dictionaries(st.sampled_from(HostState), st.integers(0, 5))


@given(
    st.sampled_from(RolloutState),
    st.sampled_from(WaveState),
    _COUNTS,
    st.integers(0, 6),
    st.sets(st.sampled_from(Hold)),
)
def test_nothing_is_dispatched_that_must_not_be(
    state: RolloutState, wave: WaveState, counts: dict[HostState, int], candidates: int, holds: set[Hold]
) -> None:
    facts = _facts(state, wave, counts, min(candidates, counts.get(HostState.PENDING, 0)), frozenset(holds), most=3)
    decisions = advance(facts, NOW)
    dispatched = [each for each in decisions if isinstance(each, Dispatch)]
    live = sum(counts.get(each, 0) for each in LIVE)
    assert not dispatched or (state is RolloutState.RUNNING and wave in _TOUCHABLE and not holds)
    assert not dispatched or live + len(dispatched) <= 3
    if state.ended:
        assert decisions == ()
    if any(isinstance(each, Finish) for each in decisions):
        assert live == 0


@given(st.sampled_from(CommandState), st.sampled_from(RolloutState), st.sets(st.sampled_from(Hold)))
def test_nothing_goes_out_of_a_rollout_that_does_not_run(
    command: CommandState, rollout: RolloutState, holds: set[Hold]
) -> None:
    answer = look_again(command, rollout, frozenset(holds))
    assert (answer is Answer.SEND) == (rollout is RolloutState.RUNNING and not holds)
    if command is CommandState.APPLYING:
        assert answer is not Answer.CALL_OFF, "a container may be touched already"


@given(st.lists(st.sampled_from(Result), min_size=1))
def test_a_host_succeeded_only_where_nothing_went_wrong(results: list[Result]) -> None:
    found = verdict(results)
    good = {Result.UPDATED, Result.ALREADY_CURRENT}
    assert (found is HostState.SUCCEEDED) == (set(results) <= good | {Result.SKIPPED} and bool(good & set(results)))
    assert (found is HostState.SKIPPED) == (set(results) == {Result.SKIPPED})


@given(st.uuids(), st.integers(1, 12))
def test_each_host_waits_a_little_longer_than_asked_for_the_same_each_time(host: UUID, tries: int) -> None:
    spec = TrySpec(backoff_ms=60_000)
    whole = timedelta(minutes=2 ** min(tries - 1, 8))
    assert whole <= backoff(tries, spec, host) == backoff(tries, spec, host) < whole * 1.25


def test_hosts_that_failed_together_are_not_tried_together() -> None:
    assert len({backoff(1, TrySpec(backoff_ms=60_000), UUID(int=n)) for n in range(100)}) > 90


_VERDICTS = st.sampled_from([HostState.SUCCEEDED, HostState.FAILED, HostState.SKIPPED])


@given(st.sampled_from(HostState), st.sampled_from(CommandState), _VERDICTS)
def test_what_ended_well_stays_so(host: HostState, command: CommandState, found: HostState) -> None:
    after = settled(host, command, found)
    if host in (HostState.SUCCEEDED, HostState.SKIPPED):
        assert after is None
    if host.live:
        assert after is found
    assert after is not host


@given(st.sampled_from([each for each in CommandState if not each.ended]), st.integers(0, 5), st.integers(1, 4))
def test_every_expiry_gives_another_turn_or_an_end(state: CommandState, tries: int, most: int) -> None:
    found = after_expiry(state, tries, TrySpec(max=most), NOW, UUID(int=1))
    assert found.state in (HostState.PENDING, HostState.FAILED)
    if found.state is HostState.PENDING and found.spent:
        assert tries + 1 < most
        assert found.not_before is not None
        assert found.not_before > NOW
    if state is CommandState.APPLYING:
        assert found.state is HostState.FAILED, "only the host knows how far it came"
