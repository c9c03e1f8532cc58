"""By which way an engine gets its images: tried with a canary, not guessed from what the engine says it is."""

from dataclasses import dataclass

from fleet.clock import Clock
from fleet.engine.protocol import Engine
from fleet.errors import EngineUnreachable
from fleet.gateway.canary import CANARY_HOST, REPOSITORY, USER
from fleet.gateway.server import Gateway
from fleet.updates.naming import take_name
from fleet.updates.outcome import Tier
from fleet.updates.stream import EnginePull

CANARY_S = 15.0
"""The most that an engine may take to ask for the canary: a few small requests on this host."""
_AFTER_S = 5.0
"""How long its pull may go on once it has asked, so that nothing is left half done."""
_LOOK_S = 0.05
AGAIN_S = 600.0
"""How long an engine that did not ask is left to its own pulls before it is tried anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """What a try found."""

    tier: Tier
    reason: str = ""
    """Why it is not a better one; begins with "cannot"."""
    found_at: float = 0.0
    """By the monotonic clock."""

    def stale(self, clock: Clock) -> bool:
        """Tell whether it is time to try again."""
        return self.tier is Tier.DAEMON and clock.monotonic() - self.found_at > AGAIN_S


def find_way(engine: Engine, gateway: Gateway, clock: Clock) -> Way:
    """Let *engine* pull a canary from *gateway*, and return what that shows; raise EngineUnreachable."""
    facts = engine.facts()
    with gateway.canary(facts.os, facts.architecture) as canary:
        name = f"{gateway.host}/{CANARY_HOST}/{REPOSITORY}@{canary.digest}"
        pull = EnginePull(engine, name, auth={"username": USER, "password": canary.secret})
        until = clock.monotonic() + CANARY_S
        while not canary.asked.is_set() and clock.monotonic() < until:
            if pull.ended(_LOOK_S):
                break
        if canary.asked.is_set():
            pull.ended(_AFTER_S)
        pull.stop()
        take_name(engine, name)
        if isinstance(pull.error, EngineUnreachable):
            raise pull.error
        if canary.asked.is_set():
            return Way(tier=Tier.LOOPBACK, found_at=clock.monotonic())
        why = str(pull.error) if pull.error else f"it did not ask within {CANARY_S:.0f} s"
    return own_way(
        f"cannot serve this engine from {gateway.host}: {why}; does it run on this host's network? until then it pulls"
        " by itself, and which mirror serves is not known",
        clock,
    )


def own_way(reason: str, clock: Clock) -> Way:
    """Return that the engine pulls by itself, and why."""
    return Way(tier=Tier.DAEMON, reason=reason, found_at=clock.monotonic())
