"""A PostgreSQL that stops in the middle: the inbox waits, and loses nothing."""

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from fleet.controller import keys
from fleet.history.sql.database import Database
from fleet.road.embedded import EmbeddedBroker
from fleet.road.messages import Claim
from fleet.road.up import InboxReader
from tests.controller.centre import enrol
from tests.controller.processes import running, wait_until
from tests.history.conftest import Postgres

pytestmark = [pytest.mark.redis, pytest.mark.postgresql]


def test_the_inbox_outlives_a_database_that_stops_and_loses_nothing(
    postgres: Postgres, broker: EmbeddedBroker, tmp_path: Path
) -> None:
    db = Database.open(postgres.url("fleet"))
    host = enrol(db, broker.address, keys.signing_key(tmp_path), "web-1")
    db.close()
    told = {
        "FLEET_STATE_DIR": str(tmp_path),
        "FLEET_BROKER_URL": broker.address.url,
        "FLEET_DATABASE_URL": postgres.url("fleet"),
        "FLEET_INBOX_RETRY_S": "2",
    }
    with (
        running(["inbox"], {**os.environ, **told}, tmp_path / "inbox.log") as inbox,
        closing(InboxReader(broker.address)) as reader,
    ):
        speak(host.say)
        wait_until(lambda: not reader.length())
        postgres.stop()
        speak(host.say)
        wait_until(lambda: "trying again later" in (tmp_path / "inbox.log").read_text())
        assert reader.length() == 50
        postgres.start()
        wait_until(lambda: not reader.length(), 60)
        assert inbox.poll() is None
    with psycopg.connect(f"host={postgres.directory} user=postgres dbname=fleet") as connection:
        found = connection.execute("SELECT count(*) FROM messages").fetchone()
    assert found == (100,)
    host.close()


def speak(say: Callable[[Claim], object]) -> None:
    """Say fifty things."""
    for _ in range(50):
        say(Claim(command=uuid4()))
