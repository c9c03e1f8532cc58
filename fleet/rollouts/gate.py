"""The gate of a wave, in integers: what it counts, and whether it is met or failed."""

from dataclasses import dataclass

from fleet.rollouts.budget import over_budget
from fleet.rollouts.facts import RolloutFacts, WaveFacts
from fleet.rollouts.spec import FailFast, Gate
from fleet.rollouts.states import BAD, GONE, LIVE, WAITING, HostState


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """The numbers of one wave. A silent host is planned and not succeeded: it never shrinks what is asked for."""

    planned: int
    gone: int
    """Skipped or cancelled."""
    succeeded: int
    failed: int
    """Failed or regressed."""
    in_flight: int
    waiting: int
    """Pending or parked."""

    @property
    def counted(self) -> int:
        """How many hosts the percentages are of."""
        return self.planned - self.gone

    @property
    def over(self) -> bool:
        """Whether every host of the wave ended."""
        return not self.in_flight and not self.waiting

    def evidence(self, failed_total: int) -> dict[str, int]:
        """Return the numbers that a verdict is kept with."""
        return {
            "planned": self.planned,
            "gone": self.gone,
            "succeeded": self.succeeded,
            "failed": self.failed,
            "in_flight": self.in_flight,
            "failed_total": failed_total,
        }


def tally(wave: WaveFacts) -> Tally:
    """Count the hosts of *wave*."""
    return Tally(
        planned=sum(wave.counts.values()),
        gone=wave.count(*GONE),
        succeeded=wave.count(HostState.SUCCEEDED),
        failed=wave.count(*BAD),
        in_flight=wave.count(*LIVE),
        waiting=wave.count(*WAITING),
    )


def met(gate: Gate, count: Tally) -> bool:
    """Tell whether enough hosts succeeded; what is in flight, and the soak, are asked for elsewhere."""
    return count.succeeded * 100 >= gate.success_pct * count.counted and count.succeeded >= gate.min_successes


def why_failed(facts: RolloutFacts, wave: WaveFacts, gate: Gate) -> str:
    """Return why the gate of *wave* failed, as a sentence for people; empty where it did not."""
    count = tally(wave)
    if count.failed * 100 > gate.tolerance_pct * count.counted:
        return f"{count.failed} of {count.counted} hosts failed, more than {gate.tolerance_pct} %"
    if over_budget(facts):
        return "more hosts failed over all waves than the budget allows"
    budget = facts.spec.budget
    if budget is not None and budget.fail_fast is not None and _fails_fast(budget.fail_fast, count):
        return f"{count.failed} of the first {count.failed + count.succeeded} hosts failed"
    return ""


def _fails_fast(rule: FailFast, count: Tally) -> bool:
    executed = count.failed + count.succeeded
    return executed >= rule.min_executed and count.failed * 100 >= rule.failed_pct * executed
