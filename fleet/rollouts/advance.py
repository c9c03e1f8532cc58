"""What a rollout does next: a pure function of what is known about it."""

from datetime import datetime, timedelta

from fleet.rollouts import deadline, ending, judging
from fleet.rollouts.decisions import Begin as Begin
from fleet.rollouts.decisions import Decision as Decision
from fleet.rollouts.decisions import Dispatch as Dispatch
from fleet.rollouts.decisions import EndWave as EndWave
from fleet.rollouts.decisions import Finish as Finish
from fleet.rollouts.decisions import OpenWave as OpenWave
from fleet.rollouts.decisions import WithdrawPending as WithdrawPending
from fleet.rollouts.dispatching import dispatches
from fleet.rollouts.facts import Candidate as Candidate
from fleet.rollouts.facts import RolloutFacts as RolloutFacts
from fleet.rollouts.facts import WaveFacts as WaveFacts
from fleet.rollouts.gate import tally
from fleet.rollouts.holding import holds
from fleet.rollouts.states import LIVE, WAITING, RolloutState
from fleet.rollouts.waiting import keep_house


def advance(facts: RolloutFacts, now: datetime) -> tuple[Decision, ...]:
    """Return what to do next, in this order; empty when there is nothing until something changes.

    Carrying the decisions out and asking again reaches a fixpoint: each decision takes away its own reason. Total:
    every facts have an answer.
    """
    if facts.state.ended or facts.state is RolloutState.DRAFT:
        return ()
    if facts.state is RolloutState.ABORTING:
        return ending.wind_down(facts, RolloutState.ABORTED, "the rollout was aborted")
    if facts.state is RolloutState.ROLLING_BACK:
        return ending.go_back(facts)
    if ending.expired(facts, now):
        return ending.wind_down(facts, RolloutState.EXPIRED, "the rollout expired before its turn")
    if facts.superseded_by is not None and facts.superseded_by.begun:
        reason = f"rollout {facts.superseded_by.name} of the same images took over"
        return ending.wind_down(facts, RolloutState.SUPERSEDED, reason, skipped=True)
    if facts.state is RolloutState.PLANNED:
        return holds(facts) or (() if facts.holds or _too_young(facts, now) else (Begin(),))
    return _run(facts, now)


def _run(facts: RolloutFacts, now: datetime) -> tuple[Decision, ...]:
    wave = judging.current(facts)
    # What stops the rollout is looked at before what lets it go on.
    if wave is not None and (failed := judging.failure(facts, wave)):
        return failed
    if stopping := holds(facts):
        return stopping
    # Neither looks at the other, and to ask twice for whose turn it is takes as long as all else about a host.
    if told := keep_house(facts) or (*_clocks(facts, now), *dispatches(facts, now)):
        return told
    if wave is None or _nothing_left(facts):
        return ending.finish(facts)
    return judging.judge(facts, wave, now)


def _clocks(facts: RolloutFacts, now: datetime) -> tuple[Decision, ...]:
    return tuple(each for wave in facts.waves for each in deadline.clock(facts, wave, now))


def _nothing_left(facts: RolloutFacts) -> bool:
    """Tell whether no host is left for any wave that has not ended, so that no gate can be asked for anything."""
    shut = [wave for wave in facts.waves if not wave.state.ended]
    gated = any(facts.spec.waves[wave.number].gate is not None for wave in shut)
    failed = any(not w.state.cleared and w.state.ended and facts.spec.waves[w.number].gate for w in facts.waves)
    rests = not facts.count(*WAITING, *LIVE)
    return gated and rests and not failed and not any(tally(wave).counted for wave in shut)


def _too_young(facts: RolloutFacts, now: datetime) -> bool:
    age = timedelta(milliseconds=facts.spec.min_release_age_ms)
    return facts.first_seen_at is not None and now < facts.first_seen_at + age
