"""How values are written for people, and read from them."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import click

from fleet.errors import BadInput
from fleet.images.reference import Reference

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_DURATION = re.compile(r"(\d{1,6})([smhdw])")
_SIZES = ("B", "kB", "MB", "GB", "TB")
NOTHING = "-"


def short_id(id: UUID | None) -> str:
    """Return the last 8 hex digits: the first 12 are time, so that prefixes of neighbours collide."""
    return id.hex[-8:] if id else NOTHING


def short_digest(digest: str) -> str:
    """Return ``sha256:`` and 12 digits."""
    algorithm, colon, hexes = digest.partition(":")
    return f"{algorithm}{colon}{hexes[:12]}" if digest else NOTHING


def familiar(image: str) -> str:
    """Return the spelling of a canonical image that people know: ``nginx:1.27``."""
    try:
        return Reference.parse(image).familiar
    except BadInput:
        return image or NOTHING


def change(old: str, new: str) -> str:
    """Return ``9f1c2d3e4f5a -> 41aa...`` of two digests."""
    return f"{_bare(old)} -> {_bare(new)}"


def size(count: int | None) -> str:
    """Return ``41.2 MB``, in powers of 1000 as registries and docker do."""
    if count is None:
        return NOTHING
    value = float(count)
    for unit in _SIZES:
        if value < 1000 or unit == _SIZES[-1]:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError("the last unit takes all")


def seconds(milliseconds: int | None) -> str:
    """Return ``1.2 s``."""
    return NOTHING if milliseconds is None else f"{milliseconds / 1000:.1f} s"


def moment(at: datetime | None) -> str:
    """Return an instant in UTC, to the second."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ") if at else NOTHING


def ago(at: datetime | None, now: datetime | None = None) -> str:
    """Return how long ago: ``3m``."""
    if at is None:
        return "never"
    passed = max(0, round(((now or datetime.now(UTC)) - at).total_seconds()))
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if passed >= 2 * length:
            return f"{passed // length}{unit} ago"
    return f"{passed}s ago"


def pairs(labels: dict[str, str]) -> str:
    """Return ``a=1,b=2``."""
    return ",".join(f"{name}={value}" for name, value in sorted(labels.items())) or NOTHING


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
    """An option that is a duration."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Read it."""
        return value if isinstance(value, timedelta) else read_duration(value)


class Moment(click.ParamType[datetime]):
    """An option that is an instant."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Read it."""
        return value if isinstance(value, datetime) else read_moment(value)


def _bare(digest: str) -> str:
    return digest.rpartition(":")[2][:12] if digest else "?"
