"""What a rollout does next: a pure function of what is known about it."""

from datetime import datetime, timedelta

from fleet.rollouts.decisions import Begin as Begin
from fleet.rollouts.decisions import Decision as Decision
from fleet.rollouts.decisions import Dispatch as Dispatch
from fleet.rollouts.decisions import EndWave as EndWave
from fleet.rollouts.decisions import Finish as Finish
from fleet.rollouts.decisions import OpenWave as OpenWave
from fleet.rollouts.decisions import WithdrawPending as WithdrawPending
from fleet.rollouts.facts import Candidate as Candidate
from fleet.rollouts.facts import RolloutFacts as RolloutFacts
from fleet.rollouts.facts import WaveFacts as WaveFacts
from fleet.rollouts.states import LIVE, WAITING, HostState, RolloutState, WaveState


def advance(facts: RolloutFacts, now: datetime) -> tuple[Decision, ...]:
    """Return what to do next, in this order; empty when there is nothing until something changes.

    Carrying the decisions out and asking again reaches a fixpoint: every decision but Dispatch brings a rollout
    nearer its end, and a dispatched host is no candidate.
    """
    if facts.state.ended:
        return ()
    if facts.state is RolloutState.ABORTING:
        return _wind_down(facts, RolloutState.ABORTED, "the rollout was aborted")
    if now >= facts.created_at + timedelta(milliseconds=facts.spec.expires_ms):
        return _wind_down(facts, RolloutState.EXPIRED, "the rollout expired before its turn")
    if facts.state is RolloutState.PLANNED:
        return () if facts.holds else (Begin(),)
    return _run(facts, now)


def _run(facts: RolloutFacts, now: datetime) -> tuple[Decision, ...]:
    for wave in facts.waves:
        if wave.state is WaveState.PENDING:
            return () if facts.holds else (OpenWave(number=wave.number),)
        if wave.state is WaveState.OPEN:
            return _end_wave(wave) if _all_ended(wave) else _dispatches(facts, wave, now)
    return (Finish(state=_verdict(facts)),)


def _dispatches(facts: RolloutFacts, wave: WaveFacts, now: datetime) -> tuple[Decision, ...]:
    if facts.holds:
        return ()
    free = facts.spec.max_parallel - sum(each.count(*LIVE) for each in facts.waves)
    able = [c for c in facts.candidates if c.wave == wave.number and _may_go(c, now)]
    able.sort(key=lambda c: c.position)
    return tuple(Dispatch(host_id=c.host_id) for c in able[: max(free, 0)])


def _may_go(candidate: Candidate, now: datetime) -> bool:
    waited = candidate.not_before is None or now >= candidate.not_before
    return candidate.reachable and not candidate.busy and waited


def _wind_down(facts: RolloutFacts, end: RolloutState, reason: str) -> tuple[Decision, ...]:
    if any(wave.count(HostState.PENDING) for wave in facts.waves):
        return (WithdrawPending(reason=reason),)
    if any(wave.count(*LIVE) for wave in facts.waves):
        return ()
    open_waves = [wave for wave in facts.waves if wave.state in (WaveState.PENDING, WaveState.OPEN)]
    return (*(end_ for wave in open_waves for end_ in _end_wave(wave)), Finish(state=end))


def _all_ended(wave: WaveFacts) -> bool:
    return wave.count(*WAITING, *LIVE) == 0


def _end_wave(wave: WaveFacts) -> tuple[Decision, ...]:
    bad = wave.count(HostState.FAILED, HostState.CANCELLED)
    return (EndWave(number=wave.number, state=WaveState.FAILED if bad else WaveState.PASSED),)


def _verdict(facts: RolloutFacts) -> RolloutState:
    failed = any(wave.state is WaveState.FAILED for wave in facts.waves)
    return RolloutState.COMPLETED_WITH_FAILURES if failed else RolloutState.COMPLETED
