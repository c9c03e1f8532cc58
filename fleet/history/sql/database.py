"""The door to the database: one engine, transactions that begin as they must, and the clock that decides."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self, cast

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry

from fleet.clock import Clock
from fleet.errors import BadInput, DatabaseUnreachable
from fleet.history.sql.json_text import json_of, of_json

Dialect = Literal["sqlite", "postgresql"]

BUSY_TIMEOUT_S = 30
"""How long a writer on SQLite waits for the one before it; a batch of the inbox takes well under a second."""

CONNECT_TIMEOUT_S = 10

_CACHE_KIB = 65_536
"""How much memory a connection to SQLite may take for pages, once it needs it."""

_CHECKPOINT_PAGES = 16_384
"""After so many pages of the log (64 MiB) SQLite writes them into its file. A batch of the inbox that touches hosts all over
a large fleet writes thousands, so that its own default of a thousand wrote the same pages again at each commit."""

_READ = "fleet_read"
_LOCKED = "database is locked"
"""What it says where another process still wrote after :data:`BUSY_TIMEOUT_S`."""
_NO_DATABASE = "file is not a database"
"""What SQLite says of another program's file, or of one that was cut off at its beginning."""


@dataclass(frozen=True, slots=True)
class Database:
    """The history's database. Functions of this room take it first; no other room touches what is inside."""

    engine: Engine
    clock: Clock | None = None
    """Stands in for the database's clock in tests."""
    held: Connection | None = None
    """The one transaction that everything is a part of, where all of it is taken back at the end."""

    @classmethod
    def open(cls, url: str, *, clock: Clock | None = None) -> Self:
        """Return the database at *url*: ``sqlite:////path/to/file`` or ``postgresql://user@host/name``.

        It connects when it is first used. Raises BadInput for a URL that cannot be used; it never quotes it.
        """
        return cls(_engine(_parsed(url)), clock)

    @property
    def dialect(self) -> Dialect:
        """Which of the two databases it is."""
        return cast(Dialect, self.engine.dialect.name)

    @property
    def file(self) -> Path | None:
        """Where it stands on this machine; None: on a server."""
        return Path(str(self.engine.url.database)) if self.dialect == "sqlite" else None

    @property
    def place(self) -> str:
        """Its file, or its server and name there, for people; never a login."""
        if self.file is not None:
            return str(self.file)
        url = self.engine.url
        return f"{url.database or ''} at {url.host or 'this machine'}{f':{url.port}' if url.port else ''}".strip()

    def now(self) -> datetime:
        """Return the present instant by the database's clock; raises DatabaseUnreachable."""
        with self.reading() as connection:
            return self.moment(connection)

    def moment(self, connection: Connection) -> datetime:
        """Return the present instant by the database's clock, inside a transaction."""
        if self.clock is not None:
            return self.clock.now()
        if self.dialect == "postgresql":
            # Not now(): that is when the transaction began, maybe before a wait for a lock.
            asked = connection.exec_driver_sql("SELECT clock_timestamp()").scalar_one()
            return cast(datetime, asked).astimezone(UTC)
        text = connection.exec_driver_sql("SELECT strftime('%Y-%m-%dT%H:%M:%f', 'now')").scalar_one()
        return datetime.fromisoformat(text).replace(tzinfo=UTC)

    @contextmanager
    def taken_back(self) -> Iterator[Self]:
        """Give the database as it would be: what is written there is read there, and all of it is taken back at the end.

        On SQLite nobody else writes meanwhile.
        """
        with database_errors(self), self.engine.connect() as connection:
            transaction = connection.begin()
            try:
                yield replace(self, held=connection)
            finally:
                transaction.rollback()

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Run a transaction that may write: all of it, or nothing; raises DatabaseUnreachable."""
        if self.held is not None:
            with database_errors(self), self.held.begin_nested():
                yield self.held
            return
        with database_errors(self), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Run a transaction that only reads, of one moment's state on SQLite; raises DatabaseUnreachable."""
        if self.held is not None:
            with database_errors(self), self.held.begin_nested():
                yield self.held
            return
        with database_errors(self), self.engine.connect() as connection:
            if self.dialect == "sqlite":
                connection.execution_options(**{_READ: True})
            with connection.begin():
                yield connection

    def close(self) -> None:
        """Give every connection back."""
        self.engine.dispose()


@contextmanager
def database_errors(db: Database) -> Iterator[None]:
    """Turn what drivers raise for *db*, which is away, locked or overloaded, into DatabaseUnreachable, which names it."""
    try:
        yield
    except (OperationalError, InterfaceError) as e:
        raise DatabaseUnreachable(f"cannot use the database {db.place}: {_why(db, e)}") from e
    except DBAPIError as e:
        if _NO_DATABASE in str(e.orig):
            raise BadInput(f"cannot use {db.place}: it is no SQLite database; see FLEET_DATABASE_URL") from e
        if not e.connection_invalidated:
            raise
        raise DatabaseUnreachable(f"cannot use the database {db.place}: {_why(db, e)}") from e


def _why(db: Database, error: DBAPIError) -> str:
    # The driver's own text; SQLAlchemy's would add the statement and its values.
    told = str(error.orig).partition("\n")[0][:300]
    if db.file is not None and told == _LOCKED:
        return f"{told} by a process that has been writing to it for {BUSY_TIMEOUT_S} s; which: fuser {db.file}"
    return told


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise BadInput("cannot use the database URL; expected sqlite:////path or postgresql://user@host/name") from None
    name = parsed.get_backend_name()
    if name == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if name == "sqlite" and parsed.database and parsed.database != ":memory:":
        return parsed.set(drivername="sqlite")
    raise BadInput(f"cannot use a database URL of {name}: expected sqlite:////path or postgresql://user@host/name")


def _engine(url: URL) -> Engine:
    if url.get_backend_name() == "postgresql":
        return create_engine(
            url,
            pool_pre_ping=True,
            pool_recycle=1800,
            json_serializer=json_of,
            json_deserializer=of_json,
            connect_args={
                "connect_timeout": CONNECT_TIMEOUT_S,
                "application_name": "fleet",
                # The inbox takes away at the broker what was committed: it must be on the disk, whatever the server's
                # own default is.
                "options": "-c TimeZone=UTC -c synchronous_commit=on",
            },
        )
    engine = create_engine(
        url, json_serializer=json_of, json_deserializer=of_json, connect_args={"timeout": BUSY_TIMEOUT_S}
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _entry: ConnectionPoolEntry) -> None:
    # The driver would otherwise begin transactions by its own rules: late, and as readers.
    connection.isolation_level = None
    # LIKE would otherwise find Anna where anna is asked for, which PostgreSQL does not.
    # With the two megabytes that it takes by itself, the pages of a large plan's rows are written several times over.
    cache = f"cache_size=-{_CACHE_KIB}"
    log = f"wal_autocheckpoint={_CHECKPOINT_PAGES}"
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "case_sensitive_like=ON", cache, log):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    # A reader that turns writer while another writes fails at once with "database is locked", whatever the timeout.
    reads = connection.get_execution_options().get(_READ, False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")
