"""A centre with a real database and a real broker, behind either door, and hosts whose words the test speaks."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from fleet.history.sql.database import Database
from fleet.history.upkeep.upgrade import upgrade
from fleet.road.embedded import EmbeddedBroker
from fleet.settings.centre import CentreSettings
from fleet.web.app import create_app
from fleet.web.centre import Centre as Served
from fleet.web.doors import Behind, Door
from tests import needs
from tests.controller.centre import Centre, ScriptedHost, centre_of, nginx
from tests.databases import open_database
from tests.memory import memory


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database of this program's shape, to be copied."""
    path = tmp_path_factory.mktemp("database") / "fleet.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def broker() -> Iterator[EmbeddedBroker]:
    """One broker for all; its path is short, since a socket's must be."""
    folder = tempfile.TemporaryDirectory(prefix="fleet-", dir=memory())
    with folder, EmbeddedBroker(Path(folder.name) / "broker", server=needs.redis()) as broker:
        yield broker


@pytest.fixture
def db(migrated: Path, tmp_path: Path) -> Iterator[Database]:
    """An empty database."""
    shutil.copy(migrated, tmp_path / "fleet.db")
    db = open_database(f"sqlite:///{tmp_path / 'fleet.db'}")
    yield db
    db.close()


@pytest.fixture
def centre(db: Database, broker: EmbeddedBroker, tmp_path: Path) -> Iterator[Centre]:
    """A centre whose planner and inbox move when the test says so."""
    client = broker.address.client()
    client.flushall()
    client.close()
    with centre_of(db, broker.address, tmp_path) as centre:
        yield centre


@pytest.fixture(scope="session")
def application(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    """The application, made once: that takes half a second."""
    return create_app(CentreSettings.read(state_dir=tmp_path_factory.mktemp("nobody")))


@pytest.fixture
def app(centre: Centre, application: FastAPI) -> Behind:
    """The application over this test's centre, behind the socket."""
    application.state.centre = Served(settings=centre.settings, db=centre.db)
    return Behind(application, Door.SOCKET)


@pytest.fixture
def http(app: Behind) -> TestClient:
    """A caller at the socket."""
    return TestClient(app, raise_server_exceptions=False)


@pytest.fixture
def port(app: Behind) -> TestClient:
    """A caller at the port, without a token."""
    return TestClient(Behind(app.app, Door.PORT), raise_server_exceptions=False)


@pytest.fixture
def web1(centre: Centre) -> ScriptedHost:
    """A host that told of one container, nginx:1."""
    host = centre.add_host("web-1")
    host.snapshot(nginx())
    centre.turn()
    return host
