"""Whether a host still runs what its rollout brought it to, as far as a snapshot of it can tell. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_DOWN = ("exited", "dead", "restarting")
"""What the engine says of a container that does not run; ``created`` and ``paused`` are somebody's doing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One container, as the latest snapshot shows it."""

    id: str
    digests: tuple[str, ...]
    """The digests by which its image is known; empty: none is."""
    state: str
    health: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pinned:
    """One container, as the rollout wanted it."""

    container: str
    old_id: str
    """The engine's id of the container that was replaced."""
    digest: str


def regressed(pins: Iterable[Pinned], shown: Mapping[str, Shown]) -> str:
    """Return why a host that succeeded does not run its pinned digests well any more; empty where it does.

    *shown* is by name. What cannot be told is no regress: a container that is not shown, or of unknown digest. One
    with the old container's id is a snapshot from before the update.
    """
    return next((why for pin in pins if (why := _regressed(pin, shown.get(pin.container)))), "")


def _regressed(pin: Pinned, shown: Shown | None) -> str:
    if shown is None:
        return ""
    if shown.digests and pin.digest not in shown.digests:
        other = shown.digests[0]
        return "" if shown.id == pin.old_id else f"{pin.container} runs {_short(other)} instead of {_short(pin.digest)}"
    if not shown.digests:
        return ""
    if not runs_badly(shown.state, shown.health):
        return ""
    return f"{pin.container} is {shown.state if shown.state in _DOWN else shown.health}"


def runs_badly(state: str, health: str) -> bool:
    """Tell whether a container that is shown so does not run, or not well."""
    return state in _DOWN or health == "unhealthy"


def _short(digest: str) -> str:
    return digest[:19]
