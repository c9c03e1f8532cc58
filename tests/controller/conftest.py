"""What the controller's tests share: a clock that goes when told to, and a place for state."""

import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from fleet.history.sql.database import Database
from fleet.history.upkeep.upgrade import upgrade
from fleet.road.embedded import EmbeddedBroker
from fleet.testing.clock import ManualClock
from tests import needs
from tests.controller.centre import Centre, centre_of
from tests.databases import open_database, server_folder
from tests.history.conftest import Postgres
from tests.memory import memory

START = datetime(2026, 11, 2, 12, tzinfo=UTC)


@pytest.fixture
def clock() -> ManualClock:
    """Begin at a fixed instant."""
    return ManualClock(START)


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
