"""The soak: how long the hosts of a wave are watched after enough of them succeeded."""

from datetime import datetime, timedelta

from fleet.rollouts.decisions import Decision, Soak, StopSoak
from fleet.rollouts.facts import RolloutFacts, WaveFacts


def watch(facts: RolloutFacts, wave: WaveFacts, *, enough: bool) -> tuple[Decision, ...]:
    """Return whether the soak of *wave* begins, begins anew after a regress, or counts for nothing any more."""
    if not facts.spec.waves[wave.number].soak_ms:
        return ()
    if not enough:
        return (StopSoak(number=wave.number),) if wave.soak_since is not None else ()
    if wave.soak_since is None or (wave.regressed_at is not None and wave.regressed_at > wave.soak_since):
        return (Soak(number=wave.number),)
    return ()


def served(facts: RolloutFacts, wave: WaveFacts, now: datetime) -> bool:
    """Tell whether the soak of *wave* is over, or none was asked for."""
    soak_ms = facts.spec.waves[wave.number].soak_ms
    if not soak_ms:
        return True
    return wave.soak_since is not None and now >= wave.soak_since + timedelta(milliseconds=soak_ms)
