"""What a person is told whose SQLite file somebody else does not let go of."""

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import event, text

from fleet.errors import DatabaseUnreachable
from fleet.history.sql.database import Database


def test_a_file_that_another_process_keeps_is_named_with_what_tells_which(tmp_path: Path) -> None:
    file = tmp_path / "fleet.db"
    db = Database.open(f"sqlite:///{file}")
    event.listen(db.engine, "connect", lambda connection, _: connection.execute("PRAGMA busy_timeout=1"))
    other = sqlite3.connect(file, isolation_level=None)
    try:
        other.execute("PRAGMA journal_mode=WAL")
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseUnreachable) as told, db.writing() as connection:
            connection.execute(text("CREATE TABLE t (a)"))
    finally:
        other.close()
        db.close()
    assert str(told.value) == (
        f"cannot use the database {file}: database is locked by a process that has been writing to it for 30 s; "
        f"which: fuser {file}"
    )
