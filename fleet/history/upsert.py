"""INSERT that meets a row which is there already, the same on both databases; the conflict's target is always named.

A bare ON CONFLICT DO NOTHING would also swallow a clash with another unique index.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Table, column, select, text
from sqlalchemy.dialects import postgresql, sqlite


def insert_rows(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert *rows*, which all hold the same columns."""
    insert_new(connection, table, rows, ())


def insert_new(connection: Connection, table: Table, rows: Sequence[dict[str, Any]], key: Sequence[str]) -> None:
    """Insert *rows*, which all hold the same columns; one whose *key* is there already is left as it is (empty: none is)."""
    if not rows:
        return
    if connection.dialect.name == "postgresql":
        _insert_list(connection, table, rows, _leaving(postgresql.insert(table), key))
    else:
        _insert_each(connection, table, rows, tuple(key))


def insert_or_update(
    connection: Connection,
    table: Table,
    rows: Sequence[dict[str, Any]],
    key: Sequence[str],
    *,
    keep: Sequence[str] = (),
) -> None:
    """Insert *rows*; where the *key* is there already, update what the rows hold, but the columns *keep*."""
    if rows:
        statement = _insert(connection, table)
        changed = [name for name in rows[0] if name not in key and name not in keep]
        statement = statement.on_conflict_do_update(
            index_elements=list(key), set_={name: statement.excluded[name] for name in changed}
        )
        connection.execute(statement, list(rows))


def _insert(connection: Connection, table: Table) -> Any:
    return (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(table)


def _leaving(statement: Any, key: Sequence[str]) -> Any:
    """Return *statement* such that it leaves a row as it is whose *key* is there already; without one, as it was."""
    return statement.on_conflict_do_nothing(index_elements=list(key)) if key else statement


def _insert_each(connection: Connection, table: Table, rows: Sequence[dict[str, Any]], key: tuple[str, ...]) -> None:
    """Insert on SQLite, where a row costs nothing but itself: what would be made of it on the way costs as much again."""
    names = tuple(rows[0])
    written, values = _statement(table, names, key)
    dialect = connection.dialect
    kinds = [table.c[name].type.dialect_impl(dialect).bind_processor(dialect) for name in values]
    connection.exec_driver_sql(
        written,
        [
            tuple(kind(row[name]) if kind else row[name] for name, kind in zip(values, kinds, strict=True))
            for row in rows
        ],
    )


@cache
def _statement(table: Table, names: tuple[str, ...], key: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """Return the statement that inserts a row of these columns on SQLite, and the names of its values in their order."""
    compiled = _leaving(sqlite.insert(table), key).compile(dialect=sqlite.dialect(), column_keys=list(names))
    return str(compiled), tuple(compiled.positiontup or ())


def _insert_list(connection: Connection, table: Table, rows: Sequence[dict[str, Any]], statement: Any) -> None:
    if len(rows) < _TOGETHER:
        connection.execute(statement, list(rows))
        return
    # One statement with one parameter, which the server takes apart by the table's own row type: half of the cost of a
    # statement a row, on either side.
    names = list(rows[0])
    listed = text(f"jsonb_populate_recordset(CAST(NULL AS {table.name}), CAST(:listed AS jsonb))")
    taken = statement.from_select(names, select(*(column(name) for name in names)).select_from(listed))
    for begin in range(0, len(rows), _AT_ONCE):
        some = json.dumps(rows[begin : begin + _AT_ONCE], default=_as_text)
        connection.execute(taken, {"listed": some})


_TOGETHER = 3
"""From so many rows on they go with one statement."""
_AT_ONCE = 1000
"""So many rows go with one statement at most: a megabyte or so."""


def _as_text(value: object) -> str:
    if isinstance(value, UUID):
        return value.hex
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.isoformat()
    raise TypeError(f"cannot write {type(value).__name__} as JSON")
