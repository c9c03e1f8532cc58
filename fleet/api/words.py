"""How values are written for people, in terminals and on pages alike."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from fleet.errors import BadInput
from fleet.images.reference import Reference

_SIZES = ("B", "kB", "MB", "GB", "TB")
NOTHING = "-"


def short_id(id: UUID | None) -> str:
    """Return the last 8 hex digits: the first 12 are time, so that prefixes of neighbours collide."""
    return id.hex[-8:] if id else NOTHING


def numbered(number: int | None, id: UUID) -> str:
    """Return what a rollout is called: ``#42``; one that an earlier server did not number, by its id."""
    return short_id(id) if number is None else f"#{number}"


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


def came_to(result: str, back: bool) -> str:
    """Return what came of an update, as people read it: one that went back did not bring something newer."""
    return "went back" if back and result == "updated" else result


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
    """Return ``1.2 s``; less than a tenth, as a mirror's first byte takes, in milliseconds: ``20 ms``."""
    if milliseconds is None:
        return NOTHING
    return f"{milliseconds} ms" if milliseconds < _TENTH_MS else f"{milliseconds / 1000:.1f} s"


_TENTH_MS = 100


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


def _bare(digest: str) -> str:
    return digest.rpartition(":")[2][:12] if digest else "?"


def chosen(selector: Mapping[str, Any]) -> str:
    """Return a selector of the API for people: ``hosts web-1, labels site=a``; empty: all is chosen."""
    return ", ".join(f"{part} {each}" for part, values in selector.items() for each in _each(values))


def _each(values: Any) -> list[str]:
    return [f"{k}={v}" for k, v in values.items()] if isinstance(values, Mapping) else [str(value) for value in values]
