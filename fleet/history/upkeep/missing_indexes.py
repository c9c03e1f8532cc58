"""Indexes that this program's shape has on the fact tables and the database has not: built while writers go on.

PostgreSQL keeps writers away for as long as it builds an index, which takes minutes over years of facts, unless it does so
``CONCURRENTLY``; and that it refuses for a partitioned table as a whole, and inside the transaction of a migration. So
they are built before the migrations run, partition by partition, and the migration that names them finds them there.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Index, inspect, text
from sqlalchemy.dialects import postgresql

from fleet.clock import Clock, SystemClock
from fleet.history.sql.database import Database, database_errors
from fleet.history.tables.facts import PARTITIONED

_KEY = 0x666C65656978
"""The key of the advisory lock that lets one program at a time build them."""
_LOOK_AGAIN_S = 1.0
_LOCK_TIMEOUT_S = 10
"""How long the moment is waited for in which an index is made known to its table: writers wait behind it."""


def build_missing(db: Database, *, clock: Clock | None = None) -> list[str]:
    """Build the indexes that are missing on PostgreSQL's fact tables, and return their names; safe to run again.

    One on a column that is not there yet is left to its migration. Raises DatabaseUnreachable where a table was in use for
    too long; what was built by then is not built again.
    """
    if db.dialect != "postgresql":
        return []
    with _alone(db, clock or SystemClock()) as connection:
        missing = list(_missing(connection))
        for index in missing:
            _build(connection, index)
    return [str(index.name) for index in missing]


@contextmanager
def _alone(db: Database, clock: Clock) -> Iterator[Connection]:
    """Give a connection without transactions, once no other program builds."""
    with database_errors(db), db.engine.connect() as opened:
        connection = opened.execution_options(isolation_level="AUTOCOMMIT")
        # Asked again and again, not waited for: a statement that waits is one that CONCURRENTLY waits for.
        while not connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": _KEY}).scalar_one():
            clock.sleep(_LOOK_AGAIN_S)
        try:
            yield connection
        finally:
            # Not back into the pool: the lock and the time that is waited belong to the session.
            connection.invalidate()


def _missing(connection: Connection) -> Iterator[Index]:
    seen = inspect(connection)
    tables = set(seen.get_table_names())
    for table in PARTITIONED:
        if table.name in tables:
            columns = {column["name"] for column in seen.get_columns(table.name)}
            for index in sorted(table.indexes, key=lambda index: str(index.name)):
                if _named(index) <= columns and not _is_valid(connection, str(index.name)):
                    yield index


def _named(index: Index) -> set[str]:
    """Return the columns of its table that *index* names, be it in its condition alone."""
    assert index.table is not None
    where = str(index.dialect_options["postgresql"]["where"])
    conditional = {each.name for each in index.table.columns if re.search(rf"\b{each.name}\b", where)}
    return {column.name for column in index.columns} | conditional


def _build(connection: Connection, index: Index) -> None:
    """Build *index* on every partition, then on the table, which holds nothing itself, and join them."""
    while waiting := [part for part in _partitions(connection, index) if part not in _joined(connection, index)]:
        for part in waiting:
            _build_one(connection, index, part)
        # Only here: a build may wait for as long as it must, since nobody waits behind it.
        connection.exec_driver_sql(f"SET lock_timeout = '{_LOCK_TIMEOUT_S}s'")
        connection.exec_driver_sql(f"CREATE INDEX IF NOT EXISTS {index.name} ON ONLY {_definition(index)}")
        for part in waiting:
            connection.exec_driver_sql(f"ALTER INDEX {index.name} ATTACH PARTITION {_name(index, part)}")
        connection.exec_driver_sql("RESET lock_timeout")


def _build_one(connection: Connection, index: Index, part: str) -> None:
    name = _name(index, part)
    if _is_valid(connection, name):
        return
    # One that was broken off is there, and of no use.
    connection.exec_driver_sql(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
    connection.exec_driver_sql(f"CREATE INDEX CONCURRENTLY {name} ON {_definition(index, part)}")


def _definition(index: Index, on: str = "") -> str:
    """Return ``table (columns) WHERE ...``."""
    assert index.table is not None
    where = index.dialect_options["postgresql"]["where"]
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    told = {"literal_binds": True, "include_table": False}
    expressions: Any = index.expressions  # no mere names: its table has bound them
    columns = ", ".join(str(each.compile(dialect=dialect, compile_kwargs=told)) for each in expressions)
    return f"{on or index.table.name} ({columns})" + (f" WHERE {where}" if where is not None else "")


def _name(index: Index, part: str) -> str:
    assert index.table is not None
    return f"ix_{part}_{str(index.name).removeprefix(f'ix_{index.table.name}_')}"


def _partitions(connection: Connection, index: Index) -> list[str]:
    assert index.table is not None
    query = text(
        "SELECT relid::regclass::text FROM pg_partition_tree(CAST(:table AS regclass)) WHERE isleaf ORDER BY 1"
    )
    return list(connection.execute(query, {"table": index.table.name}).scalars())


def _joined(connection: Connection, index: Index) -> set[str]:
    """Return the partitions whose part of *index* belongs to it."""
    query = text(
        "SELECT i.indrelid::regclass::text FROM pg_inherits h JOIN pg_index i ON i.indexrelid = h.inhrelid"
        " WHERE h.inhparent = to_regclass(:name)"
    )
    return set(connection.execute(query, {"name": str(index.name)}).scalars())


def _is_valid(connection: Connection, name: str) -> bool:
    """Tell whether an index is there and can be used; that of a table is once it has all of its partitions."""
    query = text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)")
    return bool(connection.execute(query, {"name": name}).scalar())
