"""Partitions of the fact tables on PostgreSQL: one a month by the time in the id, made ahead, and dropped when old."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection, Table, inspect

from fleet.history.database import Database
from fleet.history.fact_tables import PARTITIONED

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


def lowest_id(at: datetime) -> UUID:
    """Return the lowest UUIDv7-like id of an instant: every id made at it or later sorts after."""
    return UUID(int=int(at.timestamp() * 1000) << 80)


def _month(at: datetime) -> datetime:
    return datetime(at.year, at.month, 1, tzinfo=UTC)
