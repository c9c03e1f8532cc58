"""How much there is: rows and bytes by table, and whether all of it is as it should be."""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection, func, inspect, select, text

from fleet.errors import Refused
from fleet.history.questions.days import open_day
from fleet.history.questions.query_bounds import midnight
from fleet.history.sql.database import Database
from fleet.history.tables.facts import PARTITIONED
from fleet.history.tables.metadata import METADATA
from fleet.history.upkeep.upgrade import require_head

_LATE = timedelta(days=3)
"""After how long a day that is not closed is a fault: the planner closes days each day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableStats:
    """One table."""

    table: str
    rows: int
    """On PostgreSQL the server's estimate, exact where it has none."""
    bytes: int | None
    """With its indexes; None: SQLite was built without telling that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """One thing that was looked at."""

    name: str
    ok: bool
    text: str


def stats(db: Database) -> list[TableStats]:
    """Return every table with its rows and bytes."""
    with db.reading() as connection:
        sizes = _bytes_sqlite(connection) if db.dialect == "sqlite" else _bytes_postgresql(connection)
        return [
            TableStats(table=name, rows=_rows(db, connection, name), bytes=sizes.get(name) if sizes else None)
            for name in sorted(METADATA.tables)
        ]


def whole_bytes(db: Database) -> int:
    """Return how large the whole database is."""
    with db.reading() as connection:
        if db.dialect == "postgresql":
            return int(connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one())
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        return int(pages) * int(connection.exec_driver_sql("PRAGMA page_size").scalar_one())


def check(db: Database) -> list[Checked]:
    """Look at the shape, the files or indexes, the partitions and the closing of days."""
    found = [_shape(db)]
    with db.reading() as connection:
        if db.dialect == "sqlite":
            found += [_integrity(connection), _keys(connection)]
        else:
            found += [_indexes(connection), _partitions(db, connection)]
        if found[0].ok:
            found.append(_days(db, connection))
    return found


def _shape(db: Database) -> Checked:
    try:
        require_head(db)
    except Refused as error:
        return Checked(name="shape", ok=False, text=str(error))
    return Checked(name="shape", ok=True, text="the tables are those of this version")


def _integrity(connection: Connection) -> Checked:
    found = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA integrity_check(3)")]
    return Checked(name="integrity", ok=found == ["ok"], text="; ".join(found))


def _keys(connection: Connection) -> Checked:
    broken = {str(row[0]) for row in connection.exec_driver_sql("PRAGMA foreign_key_check")}
    said = f"rows point at nothing in: {', '.join(sorted(broken))}" if broken else "every key points at a row"
    return Checked(name="foreign keys", ok=not broken, text=said)


def _indexes(connection: Connection) -> Checked:
    query = text("SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid ORDER BY 1")
    broken = list(connection.execute(query).scalars())
    said = f"cannot be used: {', '.join(broken)}; run: REINDEX" if broken else "all can be used"
    return Checked(name="indexes", ok=not broken, text=said)


def _partitions(db: Database, connection: Connection) -> Checked:
    there = set(inspect(connection).get_table_names())
    month = f"{db.moment(connection):%Y%m}"
    missing = [table.name for table in PARTITIONED if f"{table.name}_{month}" not in there]
    said = f"none of this month for: {', '.join(missing)}; the planner makes them" if missing else "made ahead"
    return Checked(name="partitions", ok=not missing, text=said)


def _days(db: Database, connection: Connection) -> Checked:
    day = open_day(connection)
    if day is not None and db.moment(connection) - midnight(day) > _LATE:
        said = f"{day} is not closed yet; the planner closes days, and so does fleet db prune"
        return Checked(name="days", ok=False, text=said)
    return Checked(name="days", ok=True, text="every day that is over is closed")


def _rows(db: Database, connection: Connection, name: str) -> int:
    if db.dialect == "postgresql":
        query = text(
            "SELECT sum(c.reltuples), bool_or(c.reltuples < 0) FROM pg_partition_tree(CAST(:name AS regclass)) t"
            " JOIN pg_class c ON c.oid = t.relid WHERE t.isleaf"
        )
        told = connection.execute(query, {"name": name}).one()
        if told[0] is not None and not told[1]:
            return int(told[0])
    return int(connection.execute(select(func.count()).select_from(METADATA.tables[name])).scalar_one())


def _bytes_postgresql(connection: Connection) -> dict[str, int]:
    query = text(
        "SELECT coalesce(sum(pg_total_relation_size(relid)), 0) FROM pg_partition_tree(CAST(:name AS regclass))"
    )
    return {name: int(connection.execute(query, {"name": name}).scalar_one()) for name in METADATA.tables}


def _bytes_sqlite(connection: Connection) -> dict[str, int]:
    options = {str(row[0]) for row in connection.exec_driver_sql("PRAGMA compile_options")}
    if "ENABLE_DBSTAT_VTAB" not in options:
        return {}
    query = text(
        "SELECT m.tbl_name, sum(s.pgsize) FROM dbstat s JOIN sqlite_master m ON m.name = s.name GROUP BY m.tbl_name"
    )
    return {str(name): int(size) for name, size in connection.execute(query)}
