"""What becomes of the first wave that is not cleared: opened, watched, passed, failed, or held as inconclusive."""

from datetime import datetime

from fleet.rollouts import deadline, soak
from fleet.rollouts.budget import failed_total
from fleet.rollouts.decisions import Decision, EndWave, OpenWave, Prefetch, RollBack, SetHold
from fleet.rollouts.ending import end_ungated
from fleet.rollouts.facts import RolloutFacts, WaveFacts
from fleet.rollouts.gate import met, tally, why_failed
from fleet.rollouts.spec import Gate, OnFailure
from fleet.rollouts.states import Hold, WaveState
from fleet.rollouts.waiting import refill


def current(facts: RolloutFacts) -> WaveFacts | None:
    """Return the first wave that keeps later ones shut; None: there is none left."""
    for wave in facts.waves:
        ungated = facts.spec.waves[wave.number].gate is None
        if not (wave.state.cleared or (ungated and wave.state is WaveState.FAILED)):
            return wave
    return None


def failure(facts: RolloutFacts, wave: WaveFacts) -> tuple[Decision, ...]:
    """Return what follows where the gate of an open wave fails; judged before anything else is sent."""
    gate = facts.spec.waves[wave.number].gate
    if gate is None or wave.state not in (WaveState.OPEN, WaveState.SOAKING):
        return ()
    why = why_failed(facts, wave, gate)
    if not why:
        return ()
    evidence = tally(wave).evidence(failed_total(facts))
    ended = EndWave(number=wave.number, state=WaveState.FAILED, evidence=evidence, reason=why)
    reason = f"wave {wave.number + 1} failed: {why}"
    # The way back is never itself rolled back: there is nothing known to be better behind it.
    if facts.spec.on_failure_of(wave.number) is OnFailure.ROLLBACK and not facts.is_way_back:
        return (ended, RollBack(reason=reason))
    return (ended, SetHold(hold=Hold.GATE_FAILED, reason=reason))


def judge(facts: RolloutFacts, wave: WaveFacts, now: datetime) -> tuple[Decision, ...]:
    """Return what follows for *wave* once no host of it can be sent anything now."""
    if wave.state is WaveState.PENDING:
        return _open(facts, wave)
    if wave.state is WaveState.FAILED:
        return ()
    gate = facts.spec.waves[wave.number].gate
    if gate is None:
        return (end_ungated(facts, wave),) if tally(wave).over else ()
    return refill(facts, wave) or _gated(facts, wave, gate, now)


def _open(facts: RolloutFacts, wave: WaveFacts) -> tuple[Decision, ...]:
    if facts.holds:
        return ()
    if facts.spec.waves[wave.number].approval and not wave.approved:
        reason = f"wave {wave.number + 1} waits for approval; give it with: fleet approve"
        return (SetHold(hold=Hold.APPROVAL, reason=reason, wave=wave.number),)
    return (OpenWave(number=wave.number),)


def _gated(facts: RolloutFacts, wave: WaveFacts, gate: Gate, now: datetime) -> tuple[Decision, ...]:
    count = tally(wave)
    enough = met(gate, count)
    # A soak begins with nothing in flight; one that runs is not stopped by a straggler.
    begins = enough and (count.in_flight == 0 or wave.soak_since is not None)
    if watching := soak.watch(facts, wave, enough=begins):
        return watching
    if enough and count.in_flight == 0 and soak.served(facts, wave, now):
        evidence = count.evidence(failed_total(facts))
        return (EndWave(number=wave.number, state=WaveState.PASSED, evidence=evidence),)
    if not enough and Hold.INCONCLUSIVE not in facts.holds and (count.over or deadline.overdue(facts, wave, now)):
        return (SetHold(hold=Hold.INCONCLUSIVE, reason=_undecided(wave, count.succeeded, count.counted)),)
    return _prefetch(facts, wave)


def _undecided(wave: WaveFacts, succeeded: int, counted: int) -> str:
    return f"wave {wave.number + 1} is neither passed nor failed: {succeeded} of {counted} hosts succeeded"


def _prefetch(facts: RolloutFacts, wave: WaveFacts) -> tuple[Decision, ...]:
    if facts.holds or wave.state is not WaveState.SOAKING or not facts.spec.waves[wave.number].prefetch_next:
        return ()
    following = facts.waves[wave.number + 1 : wave.number + 2]
    return tuple(Prefetch(number=each.number) for each in following if not each.prefetched)
