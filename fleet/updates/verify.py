"""Whether a container is good: its HEALTHCHECK says so, or it has run for a while; and its probes, where it has any, answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fleet.clock import Clock, since_ms
from fleet.engine.protocol import Engine, Inspect
from fleet.errors import BadInput, EngineUnreachable
from fleet.updates import by_hand
from fleet.updates.command import VerifyPolicy
from fleet.updates.probe import Ask, Probe, ask, probes_of

POLL_S = 0.25
"""How often the engine is asked; an inspect costs it about a millisecond."""
DEFAULT_INTERVAL_NS = 30 * 10**9
DEFAULT_TIMEOUT_NS = 30 * 10**9
DEFAULT_RETRIES = 3
"""What the engine takes where a HEALTHCHECK leaves its timing out (moby, daemon/health.go)."""
MOST_RESTARTS = 3
"""How often people may restart the new container: what starts again each time that it fails has a supervisor of theirs."""
RESTART_S = 1.0
"""How long a container may be down in a restart by hand; what ends by itself is seen at once."""
ENGINE_BACK_S, ENGINE_AGAIN_S = 30.0, 0.5
"""How long the engine may be away, and how often it is looked for: one that is upgraded is back in seconds, and with
live-restore its containers never noticed."""
LONGEST_OUTPUT = 300
"""How many characters of a health check's output are told."""
MOST_OUTPUTS = 3
"""How many different entries of the health log are told, the latest first."""


def verify(engine: Engine, container: str, policy: VerifyPolicy, *, clock: Clock, ask: Ask = ask) -> str:
    """Wait until *container* is good or certainly is not; return empty, or the reason why it is not.

    A probe by label must answer as well, once the container is otherwise good, before the policy's deadline. Who restarts
    the container meanwhile, or pauses it, has it begin anew, before that deadline too.
    """
    first = _look(engine, container, clock)
    if first is None:
        return "cannot find the new container any more"
    try:
        waiting = probes_of(first["Config"].get("Labels") or {})
    except BadInput as error:
        return str(error)
    wait_ms = deadline_ms(first, policy) if has_healthcheck(first) else policy.settle_ms
    longest_ms, began = max(wait_ms, policy.deadline_ms), clock.monotonic()
    trial = _Trial(first=first, since=began)
    while True:
        seen = _look(engine, container, clock)
        trial.see(seen, clock)
        reason = _trouble(trial.first, seen)
        if reason:
            return reason
        ran_ms, passed_ms = since_ms(clock, trial.since), since_ms(clock, began)
        good = not _paused(seen) and (_healthy(seen) or (not has_healthcheck(first) and ran_ms >= wait_ms))
        told = _unanswered(waiting, seen, ask) if good else ""
        if good and not told:
            return ""
        left_ms = longest_ms - passed_ms
        left_ms = left_ms if good else min(left_ms, wait_ms - ran_ms)
        if left_ms <= 0:
            return told or _too_late(seen or first, wait_ms, longest_ms)
        clock.sleep(min(POLL_S, left_ms / 1000))


@dataclass(slots=True, kw_only=True)
class _Trial:
    """The run of a container in which it must prove itself."""

    first: Inspect
    """What was seen of it first."""
    since: float
    """When that was, or when it was paused last."""
    restarts: int = 0

    def see(self, seen: Inspect | None, clock: Clock) -> None:
        """Begin anew where people restarted the container, or hold it."""
        if seen is not None and self.restarts < MOST_RESTARTS and by_hand.restarted(self.first, seen):
            self.first, self.since, self.restarts = seen, clock.monotonic(), self.restarts + 1
        if _paused(seen):
            self.since = clock.monotonic()


def _look(engine: Engine, container: str, clock: Clock) -> Inspect | None:
    """Return the container's inspect; one that somebody is just restarting is waited for, and so is the engine."""
    began = clock.monotonic()
    while True:
        try:
            seen = engine.inspect(container)
        except EngineUnreachable:
            if clock.monotonic() - began >= ENGINE_BACK_S:
                raise
            clock.sleep(ENGINE_AGAIN_S)
            continue
        if seen is None or not by_hand.ended(seen) or clock.monotonic() - began >= RESTART_S:
            return seen
        clock.sleep(POLL_S)


def _paused(seen: Inspect | None) -> bool:
    return seen is not None and bool(seen["State"].get("Paused"))


def _unanswered(probes: tuple[Probe, ...], seen: Inspect | None, ask: Ask) -> str:
    """Return why the first probe that is not good is not, or empty."""
    for probe in probes if seen is not None else ():
        told = ask(probe, seen or {})
        if told:
            return f"cannot get an answer from the new container by its {probe}: {told}"
    return ""


def has_healthcheck(inspect: Inspect) -> bool:
    """Tell whether the engine runs a health probe in this container."""
    test: list[str] = (inspect["Config"].get("Healthcheck") or {}).get("Test") or []
    return bool(test) and test[0] != "NONE"


def deadline_ms(inspect: Inspect, policy: VerifyPolicy) -> int:
    """Return start period + retries x (interval + timeout), capped by the policy."""
    check = inspect["Config"].get("Healthcheck") or {}
    once = (check.get("Interval") or DEFAULT_INTERVAL_NS) + (check.get("Timeout") or DEFAULT_TIMEOUT_NS)
    whole = (check.get("StartPeriod") or 0) + (check.get("Retries") or DEFAULT_RETRIES) * once
    return min(int(whole // 10**6), policy.deadline_ms)


def _trouble(first: Inspect, seen: Inspect | None) -> str:
    """Return what is certainly wrong by now, or empty."""
    if seen is None:
        return "cannot find the new container any more"
    state = seen["State"]
    if not state.get("Running") or state.get("Restarting"):
        return f"cannot keep the new container running: it exited with code {state.get('ExitCode')}{_error(state)}"
    if seen.get("RestartCount", 0) > 0:
        return "cannot keep the new container running: it restarted"
    if state["StartedAt"] != first["State"]["StartedAt"]:
        return "cannot keep the new container running: somebody restarts it again and again"
    if (state.get("Health") or {}).get("Status") == "unhealthy":
        return f"cannot get the new container healthy: {_last_output(seen)}"
    return ""


def _healthy(seen: Inspect | None) -> bool:
    return bool(seen) and ((seen or {})["State"].get("Health") or {}).get("Status") == "healthy"


def _too_late(seen: Inspect, waited_ms: int, longest_ms: int) -> str:
    if _paused(seen):
        return f"cannot see the new container run within {longest_ms / 1000:g} s: somebody paused it"
    if not has_healthcheck(seen):
        return (
            f"cannot see the new container run for {waited_ms / 1000:g} s within {longest_ms / 1000:g} s: somebody paused or"
            " restarted it, or the engine"
        )
    return f"cannot get the new container healthy within {waited_ms / 1000:g} s: {_last_output(seen)}"


def _last_output(inspect: Inspect) -> str:
    """Return what the health log says, its latest entry first, and each thing once."""
    log = (inspect["State"].get("Health") or {}).get("Log") or []
    if not log:
        return "its HEALTHCHECK has not answered yet"
    told = list(dict.fromkeys(_entry(row) for row in reversed(log)))[:MOST_OUTPUTS]
    return "its HEALTHCHECK ended " + "; before that ".join(told)


def _entry(row: Mapping[str, Any]) -> str:
    output = " ".join(str(row.get("Output") or "").split())
    told = output if len(output) <= LONGEST_OUTPUT else output[: LONGEST_OUTPUT - 1] + "…"
    return f"with code {row.get('ExitCode')}" + (f": {told}" if told else "")


def _error(state: Mapping[str, Any]) -> str:
    if state.get("OOMKilled"):
        return " (it was killed: it needed more memory than its limit)"
    return f" ({state['Error']})" if state.get("Error") else ""
