"""No request, of whatever kind, is answered by a fault of the centre's own, on either database."""

import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random

import pytest
from fastapi import FastAPI
from httpx2 import Response
from starlette.testclient import TestClient

from fleet.history.sql.database import Database
from fleet.road.embedded import EmbeddedBroker
from fleet.web.centre import Centre as Served
from fleet.web.doors import Behind, Door
from tests.controller.centre import centre_of, nginx
from tests.databases import open_database
from tests.history.conftest import Postgres
from tests.history.conftest import postgres as postgres
from tests.web.odd_requests import Maker, Odd

pytestmark = pytest.mark.redis

BOTH = [pytest.param("sqlite", id="sqlite"), pytest.param("postgresql", id="postgresql", marks=pytest.mark.postgresql)]
PER_OPERATION = 4
"""How many requests each operation gets; by their seed they are the same at each run."""
ENDLESS = "/api/v1/events"
"""Its answer has no end."""


@pytest.fixture(params=BOTH)
def either(request: pytest.FixtureRequest, migrated: Path, tmp_path: Path) -> Iterator[Database]:
    """An empty database of either kind."""
    if request.param == "sqlite":
        shutil.copy(migrated, tmp_path / "fleet.db")
        url = f"sqlite:///{tmp_path / 'fleet.db'}"
    else:
        server: Postgres = request.getfixturevalue("postgres")
        server.create("odd")
        url = server.url("odd")
    with closing(open_database(url)) as db:
        yield db
    if request.param != "sqlite":
        server.drop("odd")


@pytest.fixture
def socket(either: Database, application: FastAPI, broker: EmbeddedBroker, tmp_path: Path) -> Iterator[TestClient]:
    """A caller at the socket of a centre with one host."""
    with broker.address.client() as client:
        client.flushall()
    with centre_of(either, broker.address, tmp_path) as centre:
        centre.add_host("web-1").snapshot(nginx())
        centre.turn()
        application.state.centre = Served(settings=centre.settings, db=centre.db)
        yield TestClient(Behind(application, Door.SOCKET), raise_server_exceptions=False)


def asked(socket: TestClient, odd: Odd) -> Response:
    """Return what is answered; a body that is no JSON is sent as its beginning."""
    try:
        content = None if odd.body is None else json.dumps(odd.body)
    except ValueError:
        content = "{"
    headers = {**odd.headers, "Content-Type": "application/json"}
    return socket.request(odd.method, odd.url, content=content, headers=headers)


def test_every_operation_answers_what_is_odd(socket: TestClient) -> None:
    maker = Maker(socket.get("/api/v1/openapi.json").json(), Random(1))
    wrong = []
    for method, path, operation in maker.operations():
        for odd in () if path == ENDLESS else maker.requests(method, path, operation, PER_OPERATION):
            answer = asked(socket, odd)
            if answer.status_code >= 500:
                wrong.append((odd, answer.text))
    assert wrong == []


@pytest.mark.parametrize("at", ["9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00"])
@pytest.mark.parametrize("name", ["since", "until"])
def test_a_time_that_is_none_in_utc_is_the_nearest_that_is(name: str, at: str, socket: TestClient) -> None:
    for path, status in (
        ("/api/v1/audit", 200),
        ("/api/v1/history", 422),
    ):  # the history is asked for years from 1971 on
        answer = asked(socket, Odd("GET", str(socket.build_request("GET", path, params={name: at}).url)))
        assert answer.status_code == status, (path, answer.text)


@pytest.mark.parametrize("at", ["9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00"])
def test_events_begin_at_the_nearest_such_time_too(at: str, socket: TestClient) -> None:
    url = str(socket.build_request("GET", ENDLESS, params={"since": at, "follow": "false"}).url)
    assert asked(socket, Odd("GET", url)).status_code == 200
