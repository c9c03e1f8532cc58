"""INSERT that meets a row which is there already, the same on both databases; the conflict's target is always named.

A bare ON CONFLICT DO NOTHING would also swallow a clash with another unique index.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite


def insert_new(connection: Connection, table: Table, rows: Sequence[dict[str, Any]], key: Sequence[str]) -> None:
    """Insert *rows*; one whose *key* is there already is left as it is."""
    if rows:
        statement = _insert(connection, table).on_conflict_do_nothing(index_elements=list(key))
        connection.execute(statement, list(rows))


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
