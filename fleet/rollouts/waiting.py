"""Hosts that wait: silent ones are parked, those that come back go on, and some have waited too long."""

from fleet.rollouts.decisions import AdmitLate, Decision, GiveUp, Park, Refill, SkipQuarantined, Unpark
from fleet.rollouts.facts import RolloutFacts, WaveFacts
from fleet.rollouts.gate import tally
from fleet.rollouts.spec import LateJoiners
from fleet.rollouts.states import HostState, WaveState

TOO_LONG_AWAY = "it was silent for longer than it may catch up"
IN_QUARANTINE = "it is in quarantine: it failed too many releases in a row"


def keep_house(facts: RolloutFacts) -> tuple[Decision, ...]:
    """Return what follows from hosts' being silent, back, away too long, in quarantine, or new. It sends nothing."""
    found: list[Decision] = []
    for wave in facts.waves:
        if wave.state is WaveState.PENDING:
            continue
        if wave.quarantined:
            found.append(SkipQuarantined(number=wave.number, reason=IN_QUARANTINE))
        if wave.silent and facts.spec.offline.park:
            found.append(Park(number=wave.number))
        if wave.returned:
            found.append(Unpark(number=wave.number))
        if wave.overdue:
            found.append(GiveUp(number=wave.number, reason=TOO_LONG_AWAY))
    if facts.late and facts.spec.late_joiners is LateJoiners.CONVERGE:
        found.append(AdmitLate(number=facts.waves[-1].number))
    return tuple(found)


def refill(facts: RolloutFacts, wave: WaveFacts) -> tuple[Decision, ...]:
    """Return whence *wave* gets hosts where so many of its own are gone that its gate could never be met."""
    gate = facts.spec.waves[wave.number].gate
    missing = gate.min_successes - tally(wave).counted if gate is not None else 0
    if missing < 1:
        return ()
    for later in facts.waves[wave.number + 1 :]:
        there = later.count(HostState.PENDING)
        if later.state is WaveState.PENDING and there:
            return (Refill(number=wave.number, taken_from=later.number, hosts=min(missing, there)),)
    return ()
