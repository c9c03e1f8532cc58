"""Databases of tests, which need not outlive the machine: what a test writes is gone with it anyway."""

from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import event

from fleet.clock import Clock
from fleet.history.sql.database import Database
from fleet.history.tables.metadata import METADATA
from tests.memory import memory

_COUNTED = "container_moves"
"""What the databases count by themselves, also that rows are deleted."""
_NAMES = (*(table.name for table in reversed(METADATA.sorted_tables) if table.name != _COUNTED), _COUNTED)
"""All tables, those that refer to others before these."""
_FILLED = " UNION ALL ".join(f"SELECT '{name}' WHERE EXISTS (SELECT 1 FROM {name})" for name in _NAMES)


def server_folder() -> Path:
    """Make a folder for a private PostgreSQL and return it.

    The server runs as another user, who may not enter pytest's own folder; and a socket's path must be short.
    """
    folder = (memory() or Path("/tmp")) / f"fleet-pg-{uuid4().hex[:8]}"
    folder.mkdir(mode=0o755)
    return folder


def open_database(url: str, *, clock: Clock | None = None) -> Database:
    """Return the database at *url*; one in a file does not wait for the disk at each commit, which takes longer than all else.

    Another process that opens the same file waits as ever. PostgreSQL is told the same when it is started.
    """
    database = Database.open(url, clock=clock)
    if database.dialect == "sqlite":
        event.listen(database.engine, "connect", _leave_the_disk_alone)
    return database


def _leave_the_disk_alone(connection: Any, _entry: object) -> None:
    connection.execute("PRAGMA synchronous=OFF")


def empty(database: Database) -> None:
    """Delete every row. A test fills few of the tables, and to ask which is quicker than to delete from all."""
    with database.writing() as connection:
        filled = {*connection.exec_driver_sql(_FILLED).scalars(), _COUNTED}
        for name in _NAMES:
            if name in filled:
                connection.exec_driver_sql(f"DELETE FROM {name}")
