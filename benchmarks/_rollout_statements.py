"""What of this process's time the database's driver takes: statements sent, their rows fetched, transactions committed."""

import sqlite3
import time
from collections.abc import Callable
from functools import wraps
from typing import Any

import psycopg
from sqlalchemy import event

from fleet.history.sql.database import Database


class Statements:
    """The processor time that this thread has spent in the driver, in seconds; what is made of rows afterwards is not in it."""

    def __init__(self) -> None:
        self.spent = 0.0

    def watch(self, db: Database) -> None:
        """Count all that goes over the connections that *db* makes from now on."""
        db.engine.dispose()
        event.listen(db.engine, "do_connect", self._connect)

    def _connect(self, dialect: Any, _entry: object, given: Any, named: dict[str, Any]) -> Any:
        if dialect.name == "sqlite":
            return sqlite3.connect(*given, **named, factory=self._sqlite())
        named = named | {"cursor_factory": self._timed(psycopg.Cursor, *_OF_CURSORS)}
        return self._timed(psycopg.Connection, *_OF_CONNECTIONS).connect(*given, **named)

    def _sqlite(self) -> Any:
        cursor = self._timed(sqlite3.Cursor, *_OF_CURSORS)

        class Counted(sqlite3.Connection):
            def cursor(self, *_: Any) -> Any:
                return super().cursor(cursor)

        return self._timed(Counted, *_OF_CONNECTIONS)

    def _timed(self, kind: type, *names: str) -> Any:
        """Return a kind like *kind* whose methods *names* are counted."""
        return type(kind.__name__, (kind,), {name: self._counted(getattr(kind, name)) for name in names})

    def _counted(self, method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def counted(*given: Any, **named: Any) -> Any:
            began = time.thread_time()
            try:
                return method(*given, **named)
            finally:
                self.spent += time.thread_time() - began

        return counted


_OF_CURSORS = ("execute", "executemany", "fetchone", "fetchmany", "fetchall")
_OF_CONNECTIONS = ("commit", "rollback")
