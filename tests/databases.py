"""Databases of tests, which need not outlive the machine: what a test writes is gone with it anyway."""

from typing import Any

from sqlalchemy import event

from fleet.clock import Clock
from fleet.history.database import Database


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
