"""Many rows as columns: a value that all rows hold alike goes once, and the others of a column go as one list.

A row's own values are a few; most of what a batch writes is the same in each of its rows. To make every value of every row
anew for the driver takes longer than the database takes to write it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import repeat
from operator import attrgetter, itemgetter
from typing import Any

from sqlalchemy import JSON, Connection, Dialect, Table

from fleet.history.sql.array_text import array_text
from fleet.history.sql.json_text import json_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """The values of some columns of a table, as the driver takes them."""

    alike: dict[str, Any]
    """By column: the one value of all rows."""
    apart: dict[str, list[Any]]
    """By column: the value of each row."""
    count: int

    def rows(self, names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """Yield the values of each row, in the order of *names*."""
        return zip(*(self.apart.get(name) or repeat(self.alike[name], self.count) for name in names), strict=True)

    def values(self) -> dict[str, Any]:
        """Return one value a column, or as one text what PostgreSQL reads as an array."""
        return self.alike | {name: array_text(values) for name, values in self.apart.items()}


def of_rows(connection: Connection, table: Table, rows: Sequence[dict[str, Any]], *, apart: Sequence[str]) -> Columns:
    """Return *rows*, which all hold the same columns; those of *apart* as lists, whatever they hold."""
    return _columns(connection, table, {name: list(map(itemgetter(name), rows)) for name in rows[0]}, apart)


def of_values(
    connection: Connection, table: Table, rows: Sequence[object], names: Sequence[str], *, apart: Sequence[str]
) -> Columns:
    """Return *names* of *rows*, of mappings their values and of others their attributes, as :func:`of_rows` does."""
    value: Callable[[str], Callable[[Any], Any]] = itemgetter if isinstance(rows[0], dict) else attrgetter
    return _columns(connection, table, {name: list(map(value(name), rows)) for name in names}, apart)


def _columns(connection: Connection, table: Table, found: dict[str, list[Any]], apart: Sequence[str]) -> Columns:
    alike: dict[str, Any] = {}
    varied: dict[str, list[Any]] = {}
    count = 0
    for name, values in found.items():
        write = writer(table, name, connection.dialect)
        count = len(values)
        # The very same object: to compare, say, two ids takes longer than to write them.
        if name not in apart and len(set(map(id, values))) == 1:
            alike[name] = write(values[0]) if write else values[0]
        else:
            varied[name] = [write(value) for value in values] if write else values
    return Columns(alike=alike, apart=varied, count=count)


@lru_cache(maxsize=1024)
def writer(table: Table, name: str, dialect: Dialect) -> Callable[[Any], Any] | None:
    """Return what makes of a value what the driver takes; None: it takes the value."""
    kind = table.c[name].type
    if isinstance(kind.dialect_impl(dialect), JSON) or isinstance(getattr(kind, "impl", None), JSON):
        return _json
    return kind.dialect_impl(dialect).bind_processor(dialect)


def _json(value: Any) -> str | None:
    return None if value is None else json_of(value)
