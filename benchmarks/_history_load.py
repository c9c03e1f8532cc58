"""How rows come into a database in bulk, which nobody uses yet: past the product, with its log and its waits left out."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from typing import cast

import psycopg
from sqlalchemy import Index, Table
from sqlalchemy.schema import CreateIndex

from fleet.history.sql.database import Database
from fleet.history.tables.facts import PARTITIONED

Row = Sequence[str | int | None]
"""The values of a row in the order of its table's columns, as both databases take them in text."""
Bulk = bytes | Sequence[Row]
"""Rows as a database takes many: PostgreSQL in the text of COPY, SQLite as they are."""
Write = Callable[[Table, Bulk], None]

PROCESSES = 4
_BULK = ("journal_mode=OFF", "locking_mode=EXCLUSIVE", "synchronous=OFF", "cache_size=-500000", "threads=2")


@contextmanager
def loading(db: Database) -> Iterator[Write]:
    """Give what writes rows into tables that hold none and refer to none; all of them are there at the end."""
    with (_loading_postgresql if db.dialect == "postgresql" else _loading_sqlite)(db) as write:
        yield write


def load(db: Database, table: Table, rows: Iterable[Row]) -> None:
    """Write the rows of one table."""
    with loading(db) as write:
        write(table, in_bulk(db.dialect, list(rows)))


def in_bulk(dialect: str, rows: Sequence[Row]) -> Bulk:
    """Return *rows* as what :func:`loading` gives takes them."""
    if dialect == "sqlite":
        return rows
    return "".join(["\t".join([r"\N" if v is None else str(v) for v in row]) + "\n" for row in rows]).encode()


def make_indexes(db: Database, indexes: Iterable[Index]) -> None:
    """Make *indexes*, each over all rows at once."""
    if db.dialect == "sqlite":
        with _plain(db) as plain:
            for index in indexes:
                plain.execute(str(CreateIndex(index).compile(dialect=db.engine.dialect)))
        return
    made = [str(CreateIndex(index).compile(dialect=db.engine.dialect)) for index in indexes]
    _at_once(db, ["SET maintenance_work_mem = '512MB'", "SET max_parallel_maintenance_workers = 0"], made)


def tidy(db: Database, tables: Iterable[Table]) -> None:
    """Do what PostgreSQL does by itself some time after rows were written, so that it does not while they are read."""
    if db.dialect == "postgresql":
        _at_once(db, [], [f"VACUUM (ANALYZE) {table.name}" for table in tables])


def _at_once(db: Database, before: Sequence[str], statements: Iterable[str]) -> None:
    """Let so many server's processes as PROCESSES run *statements*, each after those that stand *before* it."""

    def run(statement: str) -> None:
        with closing(psycopg.connect(_address(db), autocommit=True)) as connection:
            for each in (*before, statement):
                connection.execute(each)

    with ThreadPoolExecutor(PROCESSES) as pool:
        for _ in pool.map(run, statements):
            pass


@contextmanager
def _loading_postgresql(db: Database) -> Iterator[Write]:
    """A connection for each table: a server's process takes its rows while the next ones are made."""
    copies: dict[str, psycopg.Copy] = {}
    with ExitStack() as stack:

        def begin(table: Table) -> psycopg.Copy:
            connection = stack.enter_context(psycopg.connect(_address(db), options="-c TimeZone=UTC"))
            if table in PARTITIONED:
                # What fills a table that was emptied in the same transaction need not go through the log.
                connection.execute(f"TRUNCATE {table.name}")
            into = f"COPY {table.name} ({_quoted(table)}) FROM STDIN"
            return stack.enter_context(stack.enter_context(connection.cursor()).copy(into))

        def write(table: Table, rows: Bulk) -> None:
            copy = copies[table.name] if table.name in copies else copies.setdefault(table.name, begin(table))
            copy.write(cast(bytes, rows))

        yield write


@contextmanager
def _loading_sqlite(db: Database) -> Iterator[Write]:
    with _plain(db) as plain:

        def write(table: Table, rows: Bulk) -> None:
            marks = ", ".join("?" * len(table.columns))
            plain.executemany(
                f"INSERT INTO {table.name} ({_quoted(table)}) VALUES ({marks})", cast(Sequence[Row], rows)
            )

        yield write


@contextmanager
def _plain(db: Database) -> Iterator[sqlite3.Connection]:
    db.engine.dispose()  # nobody else may have it open
    with closing(sqlite3.connect(str(db.engine.url.database))) as plain:
        for pragma in _BULK:
            plain.execute(f"PRAGMA {pragma}").fetchall()
        with plain:
            yield plain


def _address(db: Database) -> str:
    return db.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)


def _quoted(table: Table) -> str:
    return ", ".join(f'"{column.name}"' for column in table.columns)
