"""The planner's pulse: when it last finished a tick, so that a scheduler which died silently is seen."""

from datetime import UTC, datetime
from pathlib import Path

FILE = "planner.tick"
"""Touched at the end of every tick; no row, since a row every two seconds would be a write for nothing."""


def beat(state: Path) -> None:
    """Note that a tick ended now."""
    (state / FILE).touch()


def last(state: Path) -> datetime | None:
    """Return when a tick last ended, by this machine's clock; None: never, or not on this machine."""
    try:
        return datetime.fromtimestamp((state / FILE).stat().st_mtime, UTC)
    except OSError:
        return None
