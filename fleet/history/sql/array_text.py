"""Lists of values as PostgreSQL reads them, in one text: the driver makes one of each value by itself, at many times the cost."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any
from uuid import UUID


def array_text(values: Iterable[Any]) -> str:
    """Return *values*, as a column's writer made them, as the text of an array of one dimension.

    Raises TypeError for a value of a kind that no column holds.
    """
    return "{" + ",".join([(_WRITTEN.get(type(value)) or _inherited(value))(value) for value in values]) + "}"


def _inherited(value: object) -> Callable[[Any], str]:
    for kind in type(value).__mro__:
        if kind in _WRITTEN:
            return _WRITTEN[kind]
    raise TypeError(f"cannot write a {type(value).__name__} into an array")


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _hex(id: UUID) -> str:
    return f"{id.int:032x}"


def _time(moment: datetime) -> str:
    return f'"{moment.isoformat()}"'


_WRITTEN: dict[type, Callable[[Any], str]] = {
    UUID: _hex,
    str: _quoted,
    int: str,
    bool: lambda flag: "t" if flag else "f",
    datetime: _time,
    type(None): lambda _nothing: "NULL",
}
