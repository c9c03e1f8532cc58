"""Partitions of the fact tables on PostgreSQL: one a month by the time in the id, made ahead, and dropped when old."""

import re
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection, Table, inspect

from fleet.errors import DatabaseUnreachable
from fleet.history.sql.database import Database
from fleet.history.tables.facts import PARTITIONED

AHEAD = 3
"""How many months are made ahead; a row beyond them goes to the default partition until its month is made."""


def partitions(db: Database) -> list[str]:
    """Make the partitions of this month and the next ones on PostgreSQL; return the names of those that were new."""
    if db.dialect != "postgresql":
        return []
    with db.writing() as connection:
        # Two at once would both find a partition missing.
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7308332182965741)")
        there = set(inspect(connection).get_table_names())
        month = _month(db.moment(connection))
        made = []
        for _ in range(AHEAD + 1):
            following = _month(month + timedelta(days=32))
            for table in PARTITIONED:
                if (name := f"{table.name}_{month:%Y%m}") not in there:
                    _make(connection, table, name, month, following)
                    made.append(name)
            month = following
        return made


def _make(connection: Connection, table: Table, name: str, begin: datetime, end: datetime) -> None:
    """Make one partition; rows of its month that waited in the default partition move into it."""
    key = next(iter(table.primary_key.columns)).name
    low, high = lowest_id(begin), lowest_id(end)
    for statement in (
        f"CREATE TABLE {name} (LIKE {table.name} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)",
        f"WITH moved AS (DELETE FROM {table.name}_default WHERE {key} >= '{low}' AND {key} < '{high}' RETURNING *)"  # noqa: S608
        f" INSERT INTO {name} SELECT * FROM moved",
        f"ALTER TABLE {table.name} ATTACH PARTITION {name} FOR VALUES FROM ('{low}') TO ('{high}')",
    ):
        connection.exec_driver_sql(statement)


LOCK_WAIT_MS = 200
"""How long a dropped partition's table is waited for; others wait behind it, so it is short, and tried again later."""

_LOCK_NOT_AVAILABLE = "55P03"


def drop_before(db: Database, table: Table, before: datetime) -> dict[str, int]:
    """Drop the partitions of *table* on PostgreSQL that end at *before* or earlier; return their names and rows.

    One that is in use, or holds a command that has not ended, is left for the next time.
    """
    if db.dialect != "postgresql":
        return {}
    with db.reading() as connection:
        there = inspect(connection).get_table_names()
    old = [name for name in sorted(there) if (end := _end(table, name)) is not None and end <= before]
    held = {name: _rows(db, name) for name in old}
    return {name: rows for name, rows in held.items() if _drop(db, table, name)}


def _end(table: Table, name: str) -> datetime | None:
    """Return when the month of a partition ends; None where *name* is no partition of *table*."""
    month = re.fullmatch(rf"{table.name}_(\d{{4}})(\d{{2}})", name)
    return _month(datetime(int(month[1]), int(month[2]), 1, tzinfo=UTC) + timedelta(days=32)) if month else None


def _rows(db: Database, name: str) -> int:
    with db.reading() as connection:
        return int(connection.exec_driver_sql(f"SELECT count(*) FROM {name}").scalar_one())  # noqa: S608


def _drop(db: Database, table: Table, name: str) -> bool:
    try:
        with db.writing() as connection:
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_WAIT_MS}ms'")
            # Not CONCURRENTLY: PostgreSQL refuses that where there is a default partition.
            connection.exec_driver_sql(f"ALTER TABLE {table.name} DETACH PARTITION {name}")
            if "ended_at" in table.c:
                query = f"SELECT EXISTS (SELECT FROM {name} WHERE ended_at IS NULL)"  # noqa: S608
                if connection.exec_driver_sql(query).scalar_one():
                    raise _StillOpen
            connection.exec_driver_sql(f"DROP TABLE {name}")
    except _StillOpen:
        return False
    except DatabaseUnreachable as error:
        if getattr(getattr(error.__cause__, "orig", None), "sqlstate", None) == _LOCK_NOT_AVAILABLE:
            return False
        raise
    return True


class _StillOpen(Exception):
    """A command in the partition has not ended."""


def lowest_id(at: datetime) -> UUID:
    """Return the lowest UUIDv7-like id of an instant: every id made at it or later sorts after."""
    return UUID(int=int(at.timestamp() * 1000) << 80)


def _month(at: datetime) -> datetime:
    return datetime(at.year, at.month, 1, tzinfo=UTC)
