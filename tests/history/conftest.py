"""Databases for the tests: SQLite files, and databases of one private PostgreSQL; both begin as a migrated copy."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from fleet.history.sql.database import Database
from fleet.history.upkeep.upgrade import upgrade
from tests import needs
from tests.databases import empty, open_database, server_folder
from tests.history.world import World, open_world


class HeldClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.at = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)

    def now(self) -> datetime:
        """Return the held instant."""
        return self.at

    def monotonic(self) -> float:
        """Return the held instant in seconds."""
        return self.at.timestamp()

    def sleep(self, seconds: float) -> None:
        """Move on by *seconds*."""
        self.at += timedelta(seconds=seconds)

    def move(self, **parts: float) -> None:
        """Move on: ``move(minutes=5)``."""
        self.at += timedelta(**parts)


class Postgres:
    """A private server on a unix socket; databases are copied from a migrated one."""

    def __init__(self, bin_dir: Path, directory: Path) -> None:
        self._place(bin_dir, directory)
        if self._as:
            shutil.chown(directory, "postgres", "postgres")
        self._run("initdb", "-D", str(self._cluster), "-U", "postgres", "-A", "trust", "-N", "-E", "UTF8", "--locale=C")
        self.start()
        self.create("template", "template1")
        upgrade(self.url("template"))
        self.create("shared")

    def again(self, bin_dir: Path, directory: Path) -> None:
        """Start the server that an earlier run left in *directory*."""
        self._place(bin_dir, directory)
        self.start()

    def _place(self, bin_dir: Path, directory: Path) -> None:
        self._bin = bin_dir
        self._as = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
        self.directory = directory
        self._options = f"-c listen_addresses= -k {directory} -c fsync=off -c synchronous_commit=off"
        self._cluster = directory / "cluster"

    def start(self) -> None:
        """Start the server and wait until it answers."""
        log = str(self.directory / "log")
        self._run("pg_ctl", "-D", str(self._cluster), "-w", "-l", log, "-o", self._options, "start")

    def stop(self) -> None:
        """Stop the server at once."""
        self._run("pg_ctl", "-D", str(self._cluster), "-w", "-m", "immediate", "stop")

    def url(self, name: str) -> str:
        """Return the URL of a database."""
        return f"postgresql://postgres@/{name}?host={self.directory}"

    def create(self, name: str, template: str = "template") -> None:
        """Make a database as a copy of another."""
        with psycopg.connect(f"host={self.directory} user=postgres dbname=postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")

    def drop(self, name: str) -> None:
        """Drop a database."""
        with psycopg.connect(f"host={self.directory} user=postgres dbname=postgres", autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")

    @contextmanager
    def untended(self) -> Iterator[None]:
        """Vacuum and analyse nothing meanwhile but what is told to be."""
        self._tell("ALTER SYSTEM SET autovacuum = off")
        yield
        self._tell("ALTER SYSTEM RESET autovacuum")

    def _tell(self, setting: str) -> None:
        with psycopg.connect(f"host={self.directory} user=postgres dbname=postgres", autocommit=True) as connection:
            connection.execute(setting)
            connection.execute("SELECT pg_reload_conf()")

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [*self._as, str(self._bin / program), *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            cwd="/",
        )


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A private PostgreSQL for the whole session."""
    bin_dir = needs.postgresql()
    directory = server_folder()
    server = Postgres(bin_dir, directory)
    yield server
    server.stop()
    shutil.rmtree(directory)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file, to be copied."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
def clock() -> HeldClock:
    """The database's clock, held by the test."""
    return HeldClock()


BOTH = [pytest.param("sqlite", id="sqlite"), pytest.param("postgresql", id="postgresql", marks=pytest.mark.postgresql)]


@pytest.fixture(params=BOTH)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database with no table in it."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'fleet.db'}"
        return
    server: Postgres = request.getfixturevalue("postgres")
    name = f"t{uuid4().hex}"
    server.create(name, "template0")
    yield server.url(name)
    server.drop(name)


@pytest.fixture(scope="session")
def opened() -> Iterator[dict[str, Database]]:
    """The databases that tests share: an engine compiles each statement once, which takes longer than running it."""
    databases: dict[str, Database] = {}
    yield databases
    for each in databases.values():
        each.close()


@pytest.fixture(params=BOTH)
def db(
    request: pytest.FixtureRequest,
    opened: dict[str, Database],
    tmp_path_factory: pytest.TempPathFactory,
    clock: HeldClock,
) -> Database:
    """A migrated, empty database whose clock the test holds, and whose tables it leaves as they are."""
    kind: str = request.param
    if kind not in opened:
        if kind == "sqlite":
            path = tmp_path_factory.mktemp("shared") / "fleet.db"
            shutil.copy(request.getfixturevalue("sqlite_template"), path)
            opened[kind] = open_database(f"sqlite:///{path}")
        else:
            opened[kind] = open_database(request.getfixturevalue("postgres").url("shared"))
    empty(opened[kind])
    return replace(opened[kind], clock=clock)


@pytest.fixture(params=BOTH)
def fresh(request: pytest.FixtureRequest, tmp_path: Path, clock: HeldClock) -> Iterator[Database]:
    """A migrated database of one test alone, which nobody tends: what others left, and when it was vacuumed, decides on plans."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "fleet.db")
        with closing(open_database(f"sqlite:///{tmp_path / 'fleet.db'}", clock=clock)) as opened:
            yield opened
        return
    server: Postgres = request.getfixturevalue("postgres")
    with server.untended():
        yield request.getfixturevalue("pg")


@pytest.fixture
def pg(postgres: Postgres, clock: HeldClock) -> Iterator[Database]:
    """A migrated, empty database on PostgreSQL, for what only that one has."""
    name = f"t{uuid4().hex}"
    postgres.create(name)
    opened = Database.open(postgres.url(name), clock=clock)
    yield opened
    opened.close()
    postgres.drop(name)


@pytest.fixture
def world(db: Database, tmp_path: Path) -> Iterator[World]:
    """A fleet without hosts over that database."""
    with ExitStack() as stack:
        yield open_world(db, tmp_path, stack)
