"""How values are written for people, and read from them."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from fleet.api.words import (
    NOTHING,
    ago,
    came_to,
    change,
    chosen,
    familiar,
    moment,
    numbered,
    pairs,
    seconds,
    short_digest,
    short_id,
    size,
)
from fleet.errors import BadInput

__all__ = [
    "NOTHING",
    "Duration",
    "Moment",
    "ago",
    "brief_change",
    "brief_digest",
    "brief_moment",
    "came_to",
    "change",
    "chosen",
    "familiar",
    "length",
    "moment",
    "numbered",
    "pairs",
    "place_of",
    "read_duration",
    "read_moment",
    "read_pairs",
    "seconds",
    "short_digest",
    "short_id",
    "size",
]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_DURATION = re.compile(r"(\d{1,6})([smhdw])")


def brief_moment(text: str) -> str:
    """Cut a :func:`moment` down to day and minute: ``11-26 18:54``."""
    return text[5:16] if len(text) > len("2026-11-26 18:54") else text


def brief_digest(text: str) -> str:
    """Cut a digest down to its hexadecimal digits."""
    return text.rpartition(":")[2]


def brief_change(text: str) -> str:
    """Cut a :func:`change` down to what runs now."""
    return text.rpartition(" -> ")[2]


def place_of(url: str) -> str:
    """Return a URL without its scheme."""
    return url.partition("://")[2] or url


def length(time: timedelta) -> str:
    """Return a long time by its two greatest units: ``2 d 3 h``, ``1 h 30 min``, ``5 min``."""
    minutes = round(time.total_seconds() / 60)
    hours, days = minutes // 60, minutes // 1440
    if days:
        return f"{days} d {hours % 24} h"
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min"


def read_pairs(given: tuple[str, ...]) -> dict[str, str]:
    """Read ``name=value`` each; raise BadInput for what is none."""
    labels: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise BadInput(f"cannot use {text!r} as a label; expected name=value")
        labels[name] = value
    return labels


def read_duration(text: str) -> timedelta:
    """Read ``90s``, ``30m``, ``2h``, ``7d`` or ``1h30m``; raise BadInput for what is none."""
    found = _DURATION.findall(text)
    if not found or "".join(n + u for n, u in found) != text:
        raise BadInput(f"cannot use {text!r} as a duration; expected something like 90s, 30m, 2h or 7d")
    return timedelta(seconds=sum(int(n) * _UNITS[u] for n, u in found))


def read_moment(text: str, now: datetime | None = None) -> datetime:
    """Read ``2h`` (ago), ``2026-11-25``, or a time of RFC 3339; one without a zone is of this machine's zone."""
    if _DURATION.match(text) and "-" not in text:
        return (now or datetime.now(UTC)) - read_duration(text)
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadInput(f"cannot use {text!r} as a time; expected 2h, 2026-11-25 or 2026-11-25T08:00:00Z") from None


class Duration(click.ParamType[timedelta]):
    """An option that is a duration; *some*: longer than nothing."""

    name = "duration"

    def __init__(self, *, some: bool = False) -> None:
        """Say what it may be."""
        self._some = some

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Read it."""
        found = value if isinstance(value, timedelta) else read_duration(value)
        if self._some and not found:
            raise BadInput(f"cannot use {value!r} as a duration; expected one that is longer than nothing")
        return found


class Moment(click.ParamType[datetime]):
    """An option that is an instant."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Read it."""
        return value if isinstance(value, datetime) else read_moment(value)
