"""Holds that the rollout puts on itself, and the one that goes away by itself."""

from fleet.rollouts.budget import over_budget
from fleet.rollouts.decisions import Decision, LiftHold, SetHold
from fleet.rollouts.facts import RolloutFacts
from fleet.rollouts.states import Hold, WaveState

IN_A_ROW = 5
"""So many tries that end one after the other for the same outer reason are an outage, not bad luck."""


def holds(facts: RolloutFacts) -> tuple[Decision, ...]:
    """Return which holds come and go. What a person must answer stays until then, whatever was lifted meanwhile."""
    return tuple(
        SetHold(hold=hold, reason=reason) for hold, reason in _reasons(facts).items() if hold not in facts.holds
    ) + _lifted(facts)


def _reasons(facts: RolloutFacts) -> dict[Hold, str]:
    found = {}
    if any(w.state is WaveState.FAILED and facts.spec.waves[w.number].gate is not None for w in facts.waves):
        found[Hold.GATE_FAILED] = "a wave failed"
    if over_budget(facts):
        found[Hold.BUDGET] = "more hosts failed over all waves than the budget allows"
    if facts.infrastructure_in_a_row >= IN_A_ROW:
        found[Hold.MIRROR_OUTAGE] = f"{facts.infrastructure_in_a_row} tries in a row could not get the bytes"
    if facts.engine_in_a_row >= IN_A_ROW:
        found[Hold.ENGINE_ERROR] = f"{facts.engine_in_a_row} tries in a row could not use the engine"
    if facts.superseded_by is not None:
        found[Hold.SUPERSEDED] = f"rollout {facts.superseded_by.id} of the same images was planned"
    return found


def _lifted(facts: RolloutFacts) -> tuple[Decision, ...]:
    if Hold.SUPERSEDED in facts.holds and facts.superseded_by is None:
        return (LiftHold(hold=Hold.SUPERSEDED, reason="the newer rollout ended before it began"),)
    return ()
