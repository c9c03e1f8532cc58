"""What people, and not its own program, did to a container, as the engine tells it. Pure."""

from fleet.engine.protocol import Inspect

_STARTED_AGAIN = ("always", "unless-stopped")
"""Restart policies by which an engine starts a container again however it ended, unless somebody had it stopped."""


def restarted(before: Inspect, now: Inspect) -> bool:
    """Tell whether somebody restarted the container: the engine counts what it restarts by itself, and begins anew then."""
    return bool(now["State"]["StartedAt"] != before["State"]["StartedAt"]) and not now.get("RestartCount")


def ended(inspect: Inspect) -> bool:
    """Tell whether somebody ended the container, as they do who restart it: else the engine would start it again."""
    state, policy = inspect["State"], inspect.get("HostConfig", {}).get("RestartPolicy") or {}
    down = not state.get("Running") and not state.get("Restarting")
    return down and policy.get("Name") in _STARTED_AGAIN
