"""How much may fail over all waves of a rollout, counted from its hosts and never from a counter."""

from fleet.rollouts.facts import RolloutFacts
from fleet.rollouts.size import rounded_down
from fleet.rollouts.states import BAD


def failed_total(facts: RolloutFacts) -> int:
    """Return how many hosts failed or regressed, over all waves."""
    return facts.count(*BAD)


def allowed(facts: RolloutFacts) -> int | None:
    """Return how many hosts may fail over all waves; None: any number.

    Of a percentage at least one. Failures that a person accepted are allowed, and do not make room for others.
    """
    if facts.spec.budget is None:
        return None
    size = facts.spec.budget.max_failed_total
    planned = sum(sum(wave.counts.values()) for wave in facts.waves)
    most = size if isinstance(size, int) else max(1, rounded_down(size, planned))
    return max(most, facts.forgiven)


def over_budget(facts: RolloutFacts) -> bool:
    """Tell whether more failed than may."""
    most = allowed(facts)
    return most is not None and failed_total(facts) > most
