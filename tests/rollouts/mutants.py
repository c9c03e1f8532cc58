"""The usual holes, each seeded into the engine: what to break, and the invariant that must notice."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from fleet.rollouts import (
    actions,
    advance,
    caps,
    carrying,
    deadline,
    dispatching,
    ending,
    gate,
    holding,
    judging,
    ledger,
    soak,
    waiting,
    windows,
)
from fleet.rollouts.decisions import Begin, EndWave, Finish, LiftHold, Park, RollBack, StopSoak, Unpark
from fleet.rollouts.facts import Candidate, RolloutFacts, WaveFacts
from fleet.rollouts.gate import Tally
from fleet.rollouts.release import Answer
from fleet.rollouts.spec import MINUTE_MS, Gate, RolloutSpec, WaveSpec
from fleet.rollouts.states import BAD, Hold, HostState, RolloutState, WaveState
from fleet.rollouts.windows import Freeze
from tests.rollouts.world import BEGIN

Patch = pytest.MonkeyPatch


@dataclass(frozen=True, slots=True)
class Mutant:
    """One hole."""

    name: str
    invariant: int
    seed: Callable[[Patch], None]
    first: RolloutSpec | None = None
    """A spec under which it can show, where few do; None: any."""


_tally, _met, _spans, _cap_facts = gate.tally, gate.met, windows.Times.spans, ledger.Ledger.cap_facts
_holds, _current, _advance = holding.holds, judging.current, advance.advance
_dispatches, _may_go, _go_back = dispatching.dispatches, dispatching._may_go, ending.go_back
_touchable = dispatching._touchable


def _everywhere(patch: Patch, name: str, new: Any) -> None:
    for module in (gate, judging, advance, ending, waiting, actions, dispatching, holding, carrying, ledger, soak):
        if hasattr(module, name):
            patch.setattr(module, name, new)


def _completed_is_success(patch: Patch) -> None:
    def met(rule: Gate, count: Tally) -> bool:
        return _met(rule, replace(count, succeeded=count.succeeded + count.failed))

    _everywhere(patch, "met", met)


def _a_failed_gate_advances_anyway(patch: Patch) -> None:
    def current(facts: RolloutFacts) -> WaveFacts | None:
        return next((w for w in facts.waves if not w.state.ended), None)

    def unheld(decisions: Any) -> Any:
        return tuple(each for each in decisions if getattr(each, "hold", None) is not Hold.GATE_FAILED)

    failure = judging.failure
    patch.setattr(judging, "failure", lambda facts, wave: unheld(failure(facts, wave)))
    _everywhere(patch, "holds", lambda facts: unheld(_holds(facts)))
    _everywhere(patch, "current", current)


def _offline_is_fine(patch: Patch) -> None:
    def tally(wave: WaveFacts) -> Tally:
        count, away = _tally(wave), wave.count(HostState.PARKED)
        return replace(count, succeeded=count.succeeded + away, waiting=count.waiting - away)

    _everywhere(patch, "tally", tally)


def _shrinking_denominator(patch: Patch) -> None:
    def tally(wave: WaveFacts) -> Tally:
        count = _tally(wave)
        return replace(count, gone=count.gone + count.waiting)

    _everywhere(patch, "tally", tally)


def _no_min_successes(patch: Patch) -> None:
    _everywhere(patch, "met", lambda rule, count: _met(replace(rule, min_successes=0), count))
    _everywhere(patch, "refill", lambda facts, wave: ())


def _passes_with_hosts_in_flight(patch: Patch) -> None:
    _everywhere(patch, "tally", lambda wave: replace(_tally(wave), in_flight=0))


def _no_soak(patch: Patch) -> None:
    patch.setattr(soak, "served", lambda facts, wave, now: True)


def _a_regress_does_not_begin_the_soak_anew(patch: Patch) -> None:
    watch = soak.watch
    patch.setattr(soak, "watch", lambda f, wave, *, enough: watch(f, replace(wave, regressed_at=None), enough=enough))


def _no_tolerance(patch: Patch) -> None:
    _everywhere(patch, "why_failed", lambda facts, wave, rule: "")


def _no_cutoff(patch: Patch) -> None:
    patch.setattr(windows.Times, "spans", lambda self, *rest: _spans(replace(self, apply_ms=0, windows=tuple(
        replace(window, cutoff_ms=0) for window in self.windows)), *rest))  # fmt: skip


def _no_windows(patch: Patch) -> None:
    patch.setattr(carrying, "may_go_at", lambda *_: True)


def _ignores_freezes(patch: Patch) -> None:
    patch.setattr(windows.Times, "spans", lambda self, *rest: _spans(replace(self, freezes=()), *rest))


def _ignores_a_hold(patch: Patch) -> None:
    def dispatches(facts: RolloutFacts, now: Any) -> Any:
        return _dispatches(replace(facts, holds=frozenset()), now)

    _everywhere(patch, "dispatches", dispatches)


def _opens_while_held(patch: Patch) -> None:
    open_ = judging._open
    patch.setattr(judging, "_open", lambda facts, wave: open_(replace(facts, holds=facts.holds - {Hold.USER}), wave))


def _goes_without_another_look(patch: Patch) -> None:
    patch.setattr(carrying, "look_again", lambda *_: Answer.SEND)


def _no_total_budget(patch: Patch) -> None:
    for module in (gate, holding, dispatching):
        patch.setattr(module, "over_budget", lambda facts: False)


def _broken_hosts_are_not_counted(patch: Patch) -> None:
    def cap_facts(self: ledger.Ledger) -> Any:
        healthy = {m.id: replace(m, unhealthy=False) for m in self.machines.values()}
        real, self.machines = self.machines, healthy
        try:
            return _cap_facts(self)
        finally:
            self.machines = real

    patch.setattr(ledger.Ledger, "cap_facts", cap_facts)


def _caps_per_rollout(patch: Patch) -> None:
    def cap_facts(self: ledger.Ledger) -> Any:
        real = self.rollouts
        self.rollouts = dict(list(real.items())[:1])
        try:
            return _cap_facts(self)
        finally:
            self.rollouts = real

    patch.setattr(ledger.Ledger, "cap_facts", cap_facts)


def _no_caps(patch: Patch) -> None:
    patch.setattr(caps.Room, "take", lambda self, candidate: True)


def _two_tries_on_one_host(patch: Patch) -> None:
    def may_go(candidate: Candidate, *rest: Any) -> bool:
        return _may_go(replace(candidate, busy=False), *rest)

    patch.setattr(dispatching, "_may_go", may_go)


def _dispatches_the_silent(patch: Patch) -> None:
    patch.setattr(dispatching, "_may_go", lambda candidate, *rest: _may_go(replace(candidate, reachable=True), *rest))


def _ends_with_hosts_live(patch: Patch) -> None:
    def at_once(facts: RolloutFacts, end: Any, reason: str, *, skipped: bool = False) -> Any:
        told = wind_down(facts, end, reason, skipped=skipped)
        return told or (Finish(state=end, reason=reason),)

    wind_down = ending.wind_down
    patch.setattr(ending, "wind_down", at_once)


def _dead_is_not_dead(patch: Patch) -> None:
    def restless(facts: RolloutFacts, now: Any) -> Any:
        return (Begin(),) if facts.state is RolloutState.ABORTED else _advance(facts, now)

    patch.setattr(advance, "advance", restless)


def _never_rests(patch: Patch) -> None:
    patch.setattr(soak, "watch", lambda facts, wave, *, enough: (StopSoak(number=wave.number),))


def _the_parked_stay_parked(patch: Patch) -> None:
    keep = waiting.keep_house
    _everywhere(patch, "keep_house", lambda f: tuple(d for d in keep(f) if not isinstance(d, Unpark)))


def _late_joiners_push_out_others(patch: Patch) -> None:
    carry_out = carrying._rearrange

    def rearrange(led: Any, row: Any, decision: Any, now: Any) -> None:
        carry_out(led, row, decision, now)
        if isinstance(decision, Park):
            row.places.popitem()

    patch.setattr(carrying, "_rearrange", rearrange)


def _an_old_rollout_goes_on_beside_a_newer(patch: Patch) -> None:
    patch.setattr(ledger.Ledger, "_superseding", lambda self, row: None)


def _resume_skips_the_failure(patch: Patch) -> None:
    def lift(facts: RolloutFacts, hold: Hold, reason: str = "") -> Any:
        stuck = next((wave for wave in facts.waves if wave.state is WaveState.FAILED), None)
        # What is over stays over: that is a hole of its own.
        if stuck is None or hold not in facts.holds or facts.state.ended:
            return real(facts, hold, reason)
        evidence = _tally(stuck).evidence(0)
        passed = EndWave(number=stuck.number, state=WaveState.PASSED, evidence=evidence)
        return (*(LiftHold(hold=each) for each in facts.holds), passed)

    real = actions.lift
    patch.setattr(actions, "lift", lift)


def _a_failed_wave_is_no_bar(patch: Patch) -> None:
    patch.setattr(dispatching, "_touchable", lambda state: True)
    patch.setattr(ledger.Ledger, "facts", _with_all_candidates)


_facts = ledger.Ledger.facts


def _with_all_candidates(self: ledger.Ledger, row: Any, now: Any) -> RolloutFacts:
    found = _facts(self, row, now)
    every = [place for place in row.places.values() if place.state is HostState.PENDING]
    return replace(found, candidates=tuple(self._candidate(row, place, set(), now) for place in every))


def _a_timeout_is_success(patch: Patch) -> None:
    end_try = carrying.end_try

    def lenient(led: Any, row: Any, host_id: Any, now: Any, failure: Any) -> None:
        end_try(led, row, host_id, now, failure)
        place = row.places[host_id]
        if place.state in BAD and str(failure) == "timeout":
            place.state = HostState.SUCCEEDED

    patch.setattr(carrying, "end_try", lenient)


def _no_deadline(patch: Patch) -> None:
    patch.setattr(deadline, "overdue", lambda *_: False)


def _a_way_back_of_a_way_back(patch: Patch) -> None:
    def failure(facts: RolloutFacts, wave: WaveFacts) -> Any:
        bad = wave.state is WaveState.OPEN and wave.count(*BAD)
        return (RollBack(reason="again"),) if facts.is_way_back and bad else real(facts, wave)

    real = judging.failure
    patch.setattr(judging, "failure", failure)


_REST = WaveSpec(gate=Gate())
_CANARY = RolloutSpec(waves=(WaveSpec(size=1, gate=Gate(success_pct=50, min_successes=2)), _REST))
_LENIENT = RolloutSpec(waves=(WaveSpec(size="50%", gate=Gate(success_pct=50, tolerance_pct=20)), _REST))
_SOAKING = RolloutSpec(
    waves=(WaveSpec(gate=Gate(success_pct=50, tolerance_pct=50), soak_ms=10 * MINUTE_MS),), max_parallel=5
)
_WATCHED = RolloutSpec(waves=(WaveSpec(size=1, gate=Gate(), soak_ms=10 * MINUTE_MS), _REST))
_TIMED = RolloutSpec(waves=(WaveSpec(size="50%", gate=Gate(success_pct=50), deadline_ms=60 * MINUTE_MS), _REST))
_FROZEN = RolloutSpec(freezes=(Freeze(begins_at=BEGIN + timedelta(minutes=30), ends_at=BEGIN + timedelta(hours=9)),))

MUTANTS = (
    Mutant("two tries on one host", 1, _two_tries_on_one_host),
    Mutant("a failed gate advances anyway", 3, _a_failed_gate_advances_anyway),
    Mutant("a shut wave is no bar", 3, _a_failed_wave_is_no_bar),
    Mutant("resume skips the failure", 4, _resume_skips_the_failure, _LENIENT),
    Mutant("completed is success", 4, _completed_is_success),
    Mutant("offline is fine", 4, _offline_is_fine),
    Mutant("shrinking denominator", 4, _shrinking_denominator),
    Mutant("no min_successes", 4, _no_min_successes, _CANARY),
    Mutant("passes with hosts in flight", 4, _passes_with_hosts_in_flight),
    Mutant("no soak", 4, _no_soak),
    Mutant("no tolerance", 4, _no_tolerance, _LENIENT),
    Mutant("a regress does not begin the soak anew", 4, _a_regress_does_not_begin_the_soak_anew, _SOAKING),
    Mutant("broken hosts are not counted", 5, _broken_hosts_are_not_counted),
    Mutant("caps per rollout", 5, _caps_per_rollout),
    Mutant("no caps", 5, _no_caps),
    Mutant("no total budget", 6, _no_total_budget),
    Mutant("ignores a hold", 7, _ignores_a_hold),
    Mutant("opens while held", 7, _opens_while_held, _WATCHED),
    Mutant("goes without another look", 7, _goes_without_another_look),
    Mutant("no cut-off", 8, _no_cutoff),
    Mutant("no windows", 8, _no_windows),
    Mutant("ignores freezes", 8, _ignores_freezes, _FROZEN),
    Mutant("ends with hosts live", 9, _ends_with_hosts_live),
    Mutant("the dead decide", 9, _dead_is_not_dead),
    Mutant("never rests", 10, _never_rests),
    Mutant("a host is lost", 14, _late_joiners_push_out_others),
    Mutant("the parked stay parked", 15, _the_parked_stay_parked),
    Mutant("no deadline", 15, _no_deadline, _TIMED),
    Mutant("dispatches the silent", 16, _dispatches_the_silent),
    Mutant("a timeout is success", 16, _a_timeout_is_success),
    Mutant("an old rollout goes on beside a newer", 18, _an_old_rollout_goes_on_beside_a_newer),
    Mutant("a way back of a way back", 18, _a_way_back_of_a_way_back),
)
