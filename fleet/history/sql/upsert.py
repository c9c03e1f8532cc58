"""INSERT that meets a row which is there already, and UPDATE of many rows, the same on both databases.

The conflict's target is always named: a bare ON CONFLICT DO NOTHING would also swallow a clash with another unique index.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Dialect, Table, desc, select
from sqlalchemy import text as sql
from sqlalchemy.dialects import postgresql, sqlite

from fleet.history.sql.among import BY_NUMBER
from fleet.history.sql.by_column import Columns, of_rows, of_values


def insert_rows(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert *rows*, which all hold the same columns."""
    insert_new(connection, table, rows, ())


def insert_new(connection: Connection, table: Table, rows: Sequence[dict[str, Any]], key: Sequence[str]) -> int:
    """Insert *rows*, which all hold the same columns; one whose *key* is there already is left as it is (empty: none is).

    Return how many were not there.
    """
    if not rows:
        return 0
    columns = of_rows(connection, table, rows, apart=[next(iter(table.primary_key.columns)).name])
    if connection.dialect.name == "postgresql":
        alike, apart = tuple(columns.alike), tuple(columns.apart)
        written = _insert_lists(table, connection.dialect, alike, apart, tuple(key))
        return connection.exec_driver_sql(written, columns.values()).rowcount
    written, names = _insert_each(table, tuple(rows[0]), tuple(key))
    return connection.exec_driver_sql(written, list(columns.rows(names))).rowcount


def insert_first(
    connection: Connection, table: Table, rows: Sequence[dict[str, Any]], key: str
) -> list[dict[str, Any]]:
    """Insert *rows* as :func:`insert_new` does; return those that were not there, of rows with one *key* the first.

    Mostly that is all of them, and then nothing is asked for: what the insert itself says is enough.
    """
    if not rows:
        return []
    columns = of_rows(connection, table, rows, apart=[key])
    if connection.dialect.name == "postgresql":
        alike, apart = tuple(columns.alike), tuple(columns.apart)
        written = _insert_lists(table, connection.dialect, alike, apart, (key,), returns=key)
        result = connection.exec_driver_sql(written, columns.values())
        if result.rowcount == len(rows):
            result.close()
            return list(rows)
        return _of_keys(rows, key, result.scalars().all())
    written, names = _insert_each(table, tuple(rows[0]), (key,))
    count = connection.exec_driver_sql(written, list(columns.rows(names))).rowcount
    if count == len(rows):
        return list(rows)
    # The last rows of the table are those that were inserted last, and whoever writes has the database for itself.
    newest = select(table.c[key]).order_by(desc(sql("rowid"))).limit(count)
    return _of_keys(rows, key, connection.execute(newest).scalars().all())


def _of_keys(rows: Sequence[dict[str, Any]], key: str, keys: Sequence[Any]) -> list[dict[str, Any]]:
    """Return the first row of each of *keys*."""
    wanted = set(keys)
    found: dict[Any, dict[str, Any]] = {}
    for row in rows:
        if row[key] in wanted:
            found.setdefault(row[key], row)
    return list(found.values())


def insert_or_add(
    connection: Connection, table: Table, rows: Sequence[dict[str, Any]], key: Sequence[str], name: str
) -> None:
    """Insert *rows*, which all hold the same columns; where the *key* is there already, add to the column *name* of it."""
    if not rows:
        return
    columns = of_rows(connection, table, rows, apart=key)
    if connection.dialect.name == "postgresql":
        alike, apart = tuple(columns.alike), tuple(columns.apart)
        written = _insert_lists(table, connection.dialect, alike, apart, tuple(key), adds=name)
        connection.exec_driver_sql(written, columns.values())
    else:
        written, names = _insert_each(table, tuple(rows[0]), tuple(key), adds=name)
        connection.exec_driver_sql(written, list(columns.rows(names)))


def update_rows(
    connection: Connection, table: Table, rows: Sequence[object], key: Sequence[str], names: Sequence[str]
) -> None:
    """Set the columns *names* of the rows that *key* finds: *rows* are objects or dictionaries with these names."""
    if not rows:
        return
    columns = of_values(connection, table, rows, (*names, *key), apart=key[-1:])
    if connection.dialect.name == "postgresql":
        alike, apart = tuple(columns.alike), tuple(columns.apart)
        written = _update_lists(table, connection.dialect, alike, apart, tuple(key))
        connection.exec_driver_sql(written, columns.values() | _ends(columns, key[-1]))
    else:
        connection.exec_driver_sql(_update_each(table, tuple(names), tuple(key)), list(columns.rows((*names, *key))))


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


@lru_cache(maxsize=256)
def _insert_each(
    table: Table, names: tuple[str, ...], key: tuple[str, ...], *, adds: str = ""
) -> tuple[str, tuple[str, ...]]:
    """Return the statement that inserts a row of these columns on SQLite, and the names of its values in their order."""
    statement = sqlite.insert(table)
    if adds:
        more = {adds: table.c[adds] + statement.excluded[adds]}
        statement = statement.on_conflict_do_update(index_elements=list(key), set_=more)
    elif key:
        statement = statement.on_conflict_do_nothing(index_elements=list(key))
    compiled = statement.compile(dialect=sqlite.dialect(), column_keys=list(names))
    return str(compiled), tuple(compiled.positiontup or ())


@lru_cache(maxsize=256)
def _update_each(table: Table, names: tuple[str, ...], key: tuple[str, ...]) -> str:
    quote = sqlite.dialect().identifier_preparer.quote
    told = ", ".join(f"{quote(name)} = ?" for name in names)
    return f"UPDATE {table.name} SET {told} WHERE " + " AND ".join(f"{quote(name)} = ?" for name in key)  # noqa: S608


# Names of tables and columns are this program's own; every value is a parameter.
#
# On PostgreSQL all rows are one statement with one parameter a column, which the server takes apart: a fraction of the cost
# of a statement a row, on either side. Of statements that differ by their constants alone each is planned once.


@lru_cache(maxsize=256)
def _insert_lists(
    table: Table,
    dialect: Dialect,
    alike: tuple[str, ...],
    apart: tuple[str, ...],
    key: tuple[str, ...],
    *,
    adds: str = "",
    returns: str = "",
) -> str:
    quote = dialect.identifier_preparer.quote
    names = ", ".join(quote(name) for name in (*apart, *alike))
    values = ", ".join([f"listed.{quote(name)}" for name in apart] + [_value(table, dialect, name) for name in alike])
    more = f"UPDATE SET {quote(adds)} = {table.name}.{quote(adds)} + excluded.{quote(adds)}" if adds else "NOTHING"
    conflict = f" ON CONFLICT ({', '.join(quote(name) for name in key)}) DO {more}" if key else ""
    conflict += f" RETURNING {quote(returns)}" if returns else ""
    return f"INSERT INTO {table.name} ({names}) SELECT {values} FROM {_listed(table, dialect, apart)}{conflict}"  # noqa: S608


@lru_cache(maxsize=256)
def _update_lists(
    table: Table, dialect: Dialect, alike: tuple[str, ...], apart: tuple[str, ...], key: tuple[str, ...]
) -> str:
    quote = dialect.identifier_preparer.quote
    value = {name: f"listed.{quote(name)}" for name in apart} | {name: _value(table, dialect, name) for name in alike}
    told = ", ".join(f"{quote(name)} = {of}" for name, of in value.items() if name not in key)
    found = " AND ".join(f"{table.name}.{quote(name)} = {value[name]}" for name in key)
    kind, last = table.c[key[-1]].type.compile(dialect), f"{table.name}.{quote(key[-1])}"
    # Between the ends too: a list that is not known yet when the statement is planned leaves no partition out.
    ends = f"{last} BETWEEN CAST(%(least)s AS {kind}) AND CAST(%(greatest)s AS {kind})"
    return f"UPDATE {table.name} SET {told} FROM {_listed(table, dialect, apart)} WHERE {found} AND {ends}"  # noqa: S608


def _ends(columns: Columns, name: str) -> dict[str, Any]:
    in_order = sorted(columns.apart[name], key=BY_NUMBER)
    return {"least": in_order[0], "greatest": in_order[-1]}


def _listed(table: Table, dialect: Dialect, names: tuple[str, ...]) -> str:
    quote = dialect.identifier_preparer.quote
    lists = ", ".join(f"CAST(%({name})s AS {table.c[name].type.compile(dialect)}[])" for name in names)
    return f"unnest({lists}) AS listed ({', '.join(quote(name) for name in names)})"


def _value(table: Table, dialect: Dialect, name: str) -> str:
    return f"CAST(%({name})s AS {table.c[name].type.compile(dialect)})"
