"""Which columns of a list are printed, and in which order its rows stand; nothing here knows what a list holds."""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from fleet.api.words import NOTHING
from fleet.errors import BadInput

P = TypeVar("P")

_DIGITS = re.compile(r"(\d+)")


def places(known: Sequence[str], given: str) -> list[int]:
    """Return where in *known* the columns are that *given* names (``host,state``), in its order.

    Capitals do not count, and dash, underscore and space are the same. Raises BadInput for a column that is not there.
    """
    return [place(known, name) for name in given.split(",")]


def place(known: Sequence[str], name: str) -> int:
    """Return where in *known* one column is; raises BadInput where it is not."""
    plain = [_plain(title) for title in known]
    if not name.strip() or _plain(name) not in plain:
        there = ", ".join(title for title in plain if title)
        raise BadInput(f"cannot find the column {name[:80]!r}; there are {there}")
    return plain.index(_plain(name))


def sort(items: Iterable[P], value: Callable[[P], Any], *, downwards: bool) -> list[P]:
    """Return *items* by what *value* says of each: numbers by size, also those in a text (web-2 before web-10).

    What has no value comes last either way.
    """
    valued = [(value(item), item) for item in items]
    there = sorted(((_rank(v), item) for v, item in valued if not _missing(v)), key=lambda pair: pair[0])
    if downwards:
        there.reverse()
    return [item for _, item in there] + [item for v, item in valued if _missing(v)]


def _plain(title: str) -> str:
    return title.strip().casefold().replace(" ", "-").replace("_", "-")


def _missing(value: Any) -> bool:
    return value is None or value == "" or value == NOTHING


def _rank(value: Any) -> tuple[tuple[int, float, str], ...]:
    if isinstance(value, int | float):
        return ((0, value, ""),)
    if isinstance(value, datetime):
        value = value.astimezone(UTC).isoformat()
    text = json.dumps(value) if isinstance(value, list | dict) else str(value)
    pieces = _DIGITS.split(text.casefold())
    return tuple((0, int(piece), "") if piece.isdecimal() else (1, 0, piece) for piece in pieces if piece)
