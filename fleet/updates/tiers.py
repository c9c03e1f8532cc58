"""By which way an engine gets its images: tried with a canary, not guessed from what the engine says it is."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from fleet.clock import Clock
from fleet.engine.protocol import Engine
from fleet.errors import EngineUnreachable
from fleet.gateway.canary import CANARY_HOST, REPOSITORY, USER, Canary
from fleet.gateway.server import Gateway
from fleet.mirrors.managed_hosts import Door, ManagedHosts
from fleet.mirrors.table import MirrorTable
from fleet.updates.naming import take_name
from fleet.updates.outcome import Tier
from fleet.updates.stream import EnginePull

log = logging.getLogger(__name__)

CANARY_S = 15.0
"""The most that an engine may take to ask for the canary: a few small requests on this host."""
_AFTER_S = 5.0
"""How long its pull may go on once it has asked, so that nothing is left half done."""
_LOOK_S = 0.05
AGAIN_S = 600.0
"""How long an engine that did not ask is left to its own pulls before it is tried anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How this engine gets its images, as the last try with the canary found."""

    tier: Tier
    reason: str = ""
    """Why it is not a better one; begins with "cannot"."""
    found_at: float = 0.0
    """By the monotonic clock."""
    platform: str = ""
    """The engine's own, as ``linux/amd64``; empty where it was not asked."""

    def stale(self, clock: Clock) -> bool:
        """Tell whether it is time to try again."""
        return self.tier is Tier.DAEMON and clock.monotonic() - self.found_at > AGAIN_S


def find_way(engine: Engine, gateway: Gateway, clock: Clock, hosts: ManagedHosts | None = None) -> Way:
    """Let *engine* pull a canary from *gateway*, and return what that shows; raise EngineUnreachable.

    Where *hosts* may be written, the way by a ``hosts.toml`` is tried first.
    """
    facts = engine.facts()
    platform, why = f"{facts.os}/{facts.architecture}", ""
    if hosts is not None and facts.containerd_store:
        with gateway.canary(facts.os, facts.architecture) as canary:
            door = Door(host=gateway.host, user=USER, secret=canary.secret)
            name = f"{CANARY_HOST}/{REPOSITORY}@{canary.digest}"
            try:
                with hosts.open_door(CANARY_HOST, MirrorTable(), door):
                    why = _asks(engine, name, None, canary, clock)
            except OSError as error:
                why = f"cannot write hosts.toml: {error.strerror}"
        if not why:
            return Way(tier=Tier.NATIVE, found_at=clock.monotonic(), platform=platform)
        log.warning("engine does not ask by hosts.toml", extra={"reason": why})
    with gateway.canary(facts.os, facts.architecture) as canary:
        name = f"{gateway.host}/{CANARY_HOST}/{REPOSITORY}@{canary.digest}"
        why = _asks(engine, name, {"username": USER, "password": canary.secret}, canary, clock)
    if not why:
        return Way(tier=Tier.LOOPBACK, found_at=clock.monotonic(), platform=platform)
    return own_way(
        f"cannot serve this engine from {gateway.host}: {why}; does it run on this host's network? until then it pulls"
        " by itself, and which mirror serves is not known",
        clock,
    )


def _asks(engine: Engine, name: str, auth: Mapping[str, str] | None, canary: Canary, clock: Clock) -> str:
    """Let *engine* pull *name*; return why the canary was not asked for, empty where it was; raise EngineUnreachable."""
    pull = EnginePull(engine, name, auth=auth)
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
        return ""
    return str(pull.error) if pull.error else f"it did not ask within {CANARY_S:.0f} s"


def own_way(reason: str, clock: Clock) -> Way:
    """Return that the engine pulls by itself, and why."""
    return Way(tier=Tier.DAEMON, reason=reason, found_at=clock.monotonic())
