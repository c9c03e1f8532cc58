"""The active time of a wave: while it is open, unheld, and within windows; what a deadline is measured in."""

from dataclasses import replace
from datetime import datetime, timedelta

from fleet.rollouts.decisions import Decision, StartClock, StopClock
from fleet.rollouts.facts import RolloutFacts, WaveFacts
from fleet.rollouts.states import WaveState
from fleet.rollouts.windows import Times, joined


def clock(facts: RolloutFacts, wave: WaveFacts, now: datetime) -> tuple[Decision, ...]:
    """Return whether the active time of *wave* begins to run, or stops."""
    spec = facts.spec.waves[wave.number]
    timed = spec.gate is not None and spec.deadline_ms is not None
    runs = timed and wave.state in (WaveState.OPEN, WaveState.SOAKING) and not facts.holds
    if runs and wave.active_since is None:
        return (StartClock(number=wave.number),)
    if not runs and wave.active_since is not None:
        return (StopClock(number=wave.number, active_ms=active_ms(facts, wave, now)),)
    return ()


def overdue(facts: RolloutFacts, wave: WaveFacts, now: datetime) -> bool:
    """Tell whether the deadline of *wave* has passed."""
    deadline = facts.spec.waves[wave.number].deadline_ms
    return deadline is not None and active_ms(facts, wave, now) >= deadline


def active_ms(facts: RolloutFacts, wave: WaveFacts, now: datetime) -> int:
    """Return for how long *wave* has been active.

    Time in which no window was open to any host does not count, also where no planner ran meanwhile.
    """
    if wave.active_since is None or now <= wave.active_since:
        return wave.active_ms
    asked = facts.times or frozenset({("UTC", ())})
    # A freeze of some hosts only does not stop the wave's time.
    all_ = tuple(freeze for freeze in facts.spec.freezes if not freeze.selector.document())
    times = Times(windows=facts.spec.windows, freezes=all_, apply_ms=facts.spec.tries.apply_timeout_ms)
    spans = joined(span for zone, own in asked for span in replace(times, own=own).spans(wave.active_since, now, zone))
    passed = sum((end - begin for begin, end in spans), timedelta())
    return wave.active_ms + passed // timedelta(milliseconds=1)
