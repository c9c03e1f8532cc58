"""What people do to a rollout: each says which decisions follow, or raises Refused with what to do instead."""

from datetime import datetime

from fleet.errors import Refused
from fleet.rollouts import deadline
from fleet.rollouts.budget import failed_total
from fleet.rollouts.decisions import (
    Abort,
    Approve,
    Decision,
    EndWave,
    Forgive,
    LiftHold,
    OpenWave,
    RetryFailed,
    RollBack,
    SetHold,
    StopClock,
)
from fleet.rollouts.facts import RolloutFacts, WaveFacts
from fleet.rollouts.gate import tally
from fleet.rollouts.judging import current
from fleet.rollouts.states import Hold, RolloutState, WaveState

_ANSWERS = {
    Hold.APPROVAL: "approve the wave instead",
    Hold.GATE_FAILED: "retry or waive the wave, abort, or roll back",
    Hold.INCONCLUSIVE: "retry or waive the wave, abort, or roll back",
    Hold.SUPERSEDED: "abort the newer rollout, or let it begin",
}
"""The holds that are not lifted by hand, and what ends them."""

_VERDICTS = (Hold.GATE_FAILED, Hold.INCONCLUSIVE)


def pause(facts: RolloutFacts, now: datetime, reason: str) -> tuple[Decision, ...]:
    """Send nothing new until a person resumes it."""
    _going(facts, "pause")
    stopped = tuple(
        StopClock(number=wave.number, active_ms=deadline.active_ms(facts, wave, now))
        for wave in facts.waves
        if wave.active_since is not None
    )
    return (SetHold(hold=Hold.USER, reason=reason), *stopped)


def lift(facts: RolloutFacts, hold: Hold, reason: str = "") -> tuple[Decision, ...]:
    """Take one hold away, and no other. Lifting the budget's accepts the failures so far; one more holds again."""
    _going(facts, "resume")
    if hold not in facts.holds:
        raise Refused(f"cannot lift the hold {hold}: the rollout is not held by it")
    if hold in _ANSWERS:
        raise Refused(f"cannot lift the hold {hold}: {_ANSWERS[hold]}")
    lifted = LiftHold(hold=hold, reason=reason)
    return (Forgive(failed=failed_total(facts)), lifted) if hold is Hold.BUDGET else (lifted,)


def approve(facts: RolloutFacts, number: int) -> tuple[Decision, ...]:
    """Approve a wave, also before its turn comes."""
    _going(facts, "approve a wave of")
    wave = _wave(facts, number)
    if wave.state is not WaveState.PENDING:
        raise Refused(f"cannot approve wave {number + 1}: it is {wave.state}")
    waits = Hold.APPROVAL in facts.holds and current(facts) == wave
    approved = Approve(number=number)
    return (approved, LiftHold(hold=Hold.APPROVAL)) if waits else (approved,)


def waive(facts: RolloutFacts, number: int, reason: str) -> tuple[Decision, ...]:
    """Let the rollout go on although the gate of this wave was not met; the numbers are kept with who and why."""
    wave = _stuck(facts, number, "waive")
    evidence = tally(wave).evidence(failed_total(facts))
    return (EndWave(number=number, state=WaveState.WAIVED, evidence=evidence, reason=reason), *_verdicts_lifted(facts))


def retry(facts: RolloutFacts, number: int) -> tuple[Decision, ...]:
    """Try the failed hosts of this wave again: it opens anew, with a new soak and deadline."""
    _stuck(facts, number, "retry")
    return (RetryFailed(number=number), OpenWave(number=number), *_verdicts_lifted(facts))


def abort(facts: RolloutFacts, reason: str) -> tuple[Decision, ...]:
    """Stop for good; what is being recreated may end."""
    _open(facts, "abort")
    return () if facts.state is RolloutState.ABORTING else (Abort(reason=reason),)


def roll_back(facts: RolloutFacts, reason: str) -> tuple[Decision, ...]:
    """Stop, and bring what was touched back to its old digest by a rollout of its own."""
    _open(facts, "roll back")
    if facts.is_way_back:
        raise Refused("cannot roll back a rollout that is itself a way back; abort it, and make a new plan")
    if facts.state is not RolloutState.RUNNING:
        raise Refused(f"cannot roll back a rollout that is {facts.state}; abort it instead")
    return (RollBack(reason=reason),)


def _open(facts: RolloutFacts, what: str) -> None:
    if facts.state.ended:
        raise Refused(f"cannot {what} the rollout: it is {facts.state}")


def _going(facts: RolloutFacts, what: str) -> None:
    """Raise Refused also for a rollout that is being ended: it sends nothing new, whatever is answered."""
    _open(facts, what)
    if facts.state in (RolloutState.ABORTING, RolloutState.ROLLING_BACK):
        raise Refused(f"cannot {what} the rollout: it is {facts.state.words}")


def _wave(facts: RolloutFacts, number: int) -> WaveFacts:
    if not 0 <= number < len(facts.waves):
        raise Refused(f"cannot find wave {number + 1}: the rollout has {len(facts.waves)}")
    return facts.waves[number]


def _stuck(facts: RolloutFacts, number: int, what: str) -> WaveFacts:
    """Return the wave, where it keeps the rollout from going on; raises Refused otherwise."""
    wave = _wave(facts, number)
    if facts.state is not RolloutState.RUNNING:
        raise Refused(f"cannot {what} wave {number + 1}: the rollout is {facts.state.words}")
    undecided = wave.state in (WaveState.OPEN, WaveState.SOAKING) and Hold.INCONCLUSIVE in facts.holds
    if current(facts) != wave or not (wave.state is WaveState.FAILED or undecided):
        raise Refused(f"cannot {what} wave {number + 1}: it is {wave.state}, and neither failed nor inconclusive")
    return wave


def _verdicts_lifted(facts: RolloutFacts) -> tuple[LiftHold, ...]:
    return tuple(LiftHold(hold=hold) for hold in _VERDICTS if hold in facts.holds)
