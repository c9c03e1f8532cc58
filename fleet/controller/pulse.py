"""The planner's pulse: when it last finished a tick, so that a scheduler which died silently is seen."""

from datetime import UTC, datetime
from pathlib import Path

FILE = "planner.tick"
"""Written at the end of every tick, with how long it took; no row, since a row every two seconds would be a write for nothing."""


def beat(state: Path, took_s: float) -> None:
    """Note that a tick ended now, and how long it took."""
    try:
        (state / FILE).write_text(f"{took_s:.3f}\n", encoding="ascii")
    except OSError:
        # A full disk takes no text, and the time all the same; the tick itself went well.
        (state / FILE).touch()


def last(state: Path) -> datetime | None:
    """Return when a tick last ended, by this machine's clock; None: never, or not on this machine."""
    try:
        return datetime.fromtimestamp((state / FILE).stat().st_mtime, UTC)
    except OSError:
        return None


def took_s(state: Path) -> float | None:
    """Return how long the last tick took, seconds; None: it is not known."""
    try:
        return float((state / FILE).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None  # also while it is being written, or where an earlier release wrote it
