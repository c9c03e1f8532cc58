"""What the controller's tests share: a clock that goes when told to, and a place for state."""

import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from fleet.history.database import Database
from fleet.history.upgrade import upgrade
from fleet.road.embedded import EmbeddedBroker
from tests import needs
from tests.controller.centre import Centre, centre_of
from tests.databases import open_database, server_folder
from tests.history.conftest import Postgres
from tests.memory import memory

START = datetime(2026, 11, 2, 12, tzinfo=UTC)


class HandClock:
    """A clock that only the test moves."""

    def __init__(self) -> None:
        self.passed_s = 0.0

    def now(self) -> datetime:
        """Return the start and what has passed since."""
        return START + timedelta(seconds=self.passed_s)

    def monotonic(self) -> float:
        """Return what has passed."""
        return self.passed_s

    def sleep(self, seconds: float) -> None:
        """Let time pass at once."""
        self.passed_s += seconds


@pytest.fixture
def clock() -> HandClock:
    """Begin at a fixed instant."""
    return HandClock()


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an empty database of this program's shape, to be copied."""
    file = tmp_path_factory.mktemp("database") / "fleet.db"
    upgrade(f"sqlite:///{file}")
    return file


@pytest.fixture
def db(migrated: Path, tmp_path: Path) -> Iterator[Database]:
    """Return an empty database."""
    file = tmp_path / "fleet.db"
    shutil.copy(migrated, file)
    db = open_database(f"sqlite:///{file}")
    yield db
    db.close()


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    """Start a private broker; its path is short, since a socket's must be."""
    folder = tempfile.TemporaryDirectory(prefix="fleet-", dir=memory())
    with folder, EmbeddedBroker(Path(folder.name) / "broker", server=needs.redis()) as broker:
        yield broker


@pytest.fixture
def centre(db: Database, broker: EmbeddedBroker, tmp_path: Path) -> Iterator[Centre]:
    """Begin a centre over real queues."""
    with centre_of(db, broker.address, tmp_path) as centre:
        yield centre


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    """Start a private PostgreSQL, which the test may stop."""
    bin_dir = needs.postgresql()
    directory = server_folder()
    server = Postgres(bin_dir, directory)
    server.create("fleet")
    with psycopg.connect(f"host={directory} user=postgres dbname=postgres", autocommit=True) as connection:
        # Other tests do without, to be quick; here what was committed must outlive a crash, as it does elsewhere.
        connection.execute("ALTER DATABASE fleet SET synchronous_commit = on")
    yield server
    server.stop()
    shutil.rmtree(directory)
