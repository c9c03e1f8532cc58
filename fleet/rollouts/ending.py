"""How a rollout ends: by itself, by its time, by a newer one, by a person, or with a way back."""

from datetime import datetime, timedelta

from fleet.rollouts.budget import failed_total
from fleet.rollouts.decisions import BeginWayBack, Decision, EndWave, Finish, WithdrawPending
from fleet.rollouts.facts import RolloutFacts, WaveFacts
from fleet.rollouts.gate import tally
from fleet.rollouts.states import BAD, LIVE, WAITING, HostState, RolloutState, WaveState


def expired(facts: RolloutFacts, now: datetime) -> bool:
    """Tell whether the rollout's time is over."""
    return now >= facts.created_at + timedelta(milliseconds=facts.spec.expires_ms)


def wind_down(facts: RolloutFacts, end: RolloutState, reason: str, *, skipped: bool = False) -> tuple[Decision, ...]:
    """Return the next step to *end*: withdraw who waits, let end who is live, and then be over."""
    if facts.count(*WAITING):
        return (WithdrawPending(reason=reason, skipped=skipped),)
    if facts.count(*LIVE):
        return ()
    return (*_end_waves(facts), Finish(state=end, reason=reason))


def go_back(facts: RolloutFacts) -> tuple[Decision, ...]:
    """Return the next step of a rollout that is rolling back."""
    if facts.count(*WAITING):
        return (WithdrawPending(reason="the rollout is rolled back"),)
    if facts.count(*LIVE):
        return ()
    if facts.way_back is None and facts.undoable:
        return (BeginWayBack(),)
    if facts.way_back is None:
        tried = facts.count(HostState.SUCCEEDED, *BAD)
        reason = "nothing had to be brought back" if tried else "no host had been touched"
        return (*_end_waves(facts), Finish(state=RolloutState.ROLLED_BACK, reason=reason))
    if facts.way_back.ended:
        reason = f"the way back is {facts.way_back}"
        return (*_end_waves(facts), Finish(state=RolloutState.ROLLED_BACK, reason=reason))
    return ()


def end_ungated(facts: RolloutFacts, wave: WaveFacts) -> EndWave:
    """Return how a wave without a gate ends."""
    bad = wave.count(*BAD, HostState.CANCELLED)
    state = WaveState.FAILED if bad else WaveState.PASSED
    return EndWave(number=wave.number, state=state, evidence=tally(wave).evidence(failed_total(facts)))


def finish(facts: RolloutFacts) -> tuple[Decision, ...]:
    """Return the end of a rollout in which no wave has anything left to do; nothing while a host waits or is live."""
    if facts.count(*WAITING, *LIVE):
        return ()
    bad = facts.count(*BAD, HostState.CANCELLED)
    end = RolloutState.COMPLETED_WITH_FAILURES if bad else RolloutState.COMPLETED
    return (*_end_waves(facts, "no host of it was left to go"), Finish(state=end))


def _end_waves(facts: RolloutFacts, reason: str = "the rollout ended first") -> tuple[Decision, ...]:
    evidence_of = failed_total(facts)
    return tuple(
        end_ungated(facts, wave)
        if facts.spec.waves[wave.number].gate is None
        # A gate that was not met is not met by the rollout's being over.
        else EndWave(
            number=wave.number,
            state=WaveState.FAILED,
            evidence=tally(wave).evidence(evidence_of),
            reason=reason,
        )
        for wave in facts.waves
        if not wave.state.ended
    )
