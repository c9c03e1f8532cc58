"""Whether a container is good: its HEALTHCHECK says so, or it has run for a while without a restart."""

from collections.abc import Mapping
from typing import Any

from fleet.clock import Clock
from fleet.engine.protocol import Engine, Inspect
from fleet.updates.command import VerifyPolicy

POLL_S = 0.25
"""How often the engine is asked; an inspect costs it about a millisecond."""
DEFAULT_INTERVAL_NS = 30 * 10**9
DEFAULT_TIMEOUT_NS = 30 * 10**9
DEFAULT_RETRIES = 3
"""What the engine takes where a HEALTHCHECK leaves its timing out (moby, daemon/health.go)."""
LONGEST_OUTPUT = 300
"""How many characters of a probe's output are told."""


def verify(engine: Engine, container: str, policy: VerifyPolicy, *, clock: Clock) -> str:
    """Wait until *container* is good or certainly is not; return empty, or the reason why it is not."""
    first = engine.inspect(container)
    if first is None:
        return "cannot find the new container any more"
    started = clock.monotonic()
    wait_ms = deadline_ms(first, policy) if has_healthcheck(first) else policy.settle_ms
    while True:
        seen = engine.inspect(container)
        reason = _trouble(first, seen)
        if reason or _healthy(seen):
            return reason
        left_s = wait_ms / 1000 - (clock.monotonic() - started)
        if left_s <= 0:
            return _too_late(first, seen, wait_ms)
        clock.sleep(min(POLL_S, left_s))


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
    if seen.get("RestartCount", 0) > 0 or state["StartedAt"] != first["State"]["StartedAt"]:
        return "cannot keep the new container running: it restarted"
    if (state.get("Health") or {}).get("Status") == "unhealthy":
        return f"cannot get the new container healthy: {_last_output(seen)}"
    return ""


def _healthy(seen: Inspect | None) -> bool:
    return bool(seen) and ((seen or {})["State"].get("Health") or {}).get("Status") == "healthy"


def _too_late(first: Inspect, seen: Inspect | None, waited_ms: int) -> str:
    """Return empty where the time that passed was the settle time, else that the health came too late."""
    if not has_healthcheck(first):
        return ""
    return f"cannot get the new container healthy within {waited_ms / 1000:g} s: {_last_output(seen or first)}"


def _last_output(inspect: Inspect) -> str:
    log = (inspect["State"].get("Health") or {}).get("Log") or []
    if not log:
        return "its HEALTHCHECK has not answered yet"
    output = " ".join(str(log[-1].get("Output") or "").split())
    told = output if len(output) <= LONGEST_OUTPUT else output[: LONGEST_OUTPUT - 1] + "…"
    return f"its HEALTHCHECK ended with code {log[-1].get('ExitCode')}" + (f": {told}" if told else "")


def _error(state: Mapping[str, Any]) -> str:
    return f" ({state['Error']})" if state.get("Error") else ""
