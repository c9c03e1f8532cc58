"""Indexes that an earlier shape had not are built while writers go on, and the migrations find them."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from uuid import uuid4

import psycopg
import pytest
from alembic import command
from sqlalchemy import Connection, column, insert, inspect, table, text

from fleet.errors import DatabaseUnreachable
from fleet.history.sql.database import Database
from fleet.history.tables.facts import PARTITIONED, attempts
from fleet.history.upkeep import missing_indexes
from fleet.history.upkeep.missing_indexes import build_missing
from fleet.history.upkeep.upgrade import _config, partitions, require_head, upgrade
from fleet.ids import new_id
from tests.history.conftest import HeldClock, Postgres
from tests.history.test_upgrade import _row

pytestmark = pytest.mark.postgresql
LATER = {
    "ix_attempts_recorded_at",
    "ix_commands_rollout_id_created_at",
    "ix_updates_asked_by_id",
    "ix_updates_failures",
    "ix_updates_host_id_container_id",
    "ix_updates_short_id",
    "ix_updates_unchanged",
}
"""The indexes that came after the fact tables."""


@pytest.fixture
def earlier(postgres: Postgres) -> Iterator[Database]:
    """A database of an earlier shape, with facts."""
    name = f"t{uuid4().hex}"
    postgres.create(name, "template0")
    with closing(Database.open(postgres.url(name))) as db:
        with db.writing() as connection:
            command.upgrade(_config(connection), "0004")
        partitions(db)
        _write(db)
        yield db
    postgres.drop(name)


def _write(db: Database) -> None:
    with db.writing() as connection:
        _write_one(connection)


def _write_one(connection: Connection) -> None:
    """Write a fact as the earlier program did, which knew fewer columns."""
    had = {each["name"] for each in inspect(connection).get_columns(attempts.name)}
    row = {name: value for name, value in _row(attempts).items() if name in had}
    written = table(attempts.name, *(column(name, attempts.c[name].type) for name in row))
    connection.execute(insert(written), [row | {"pull_id": new_id()}])


def _url(db: Database) -> str:
    return db.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)


def _valid(db: Database) -> set[str]:
    query = text("SELECT indexrelid::regclass::text FROM pg_index WHERE indisvalid")
    with db.reading() as connection:
        return set(connection.execute(query).scalars())


def test_missing_indexes_are_built_on_every_partition_and_only_once(earlier: Database) -> None:
    assert not LATER & _valid(earlier)
    assert set(build_missing(earlier)) == LATER
    assert _valid(earlier) >= LATER
    assert build_missing(earlier) == []
    _assert_joined(earlier, LATER)
    upgrade(_url(earlier))
    require_head(earlier)
    _assert_joined(earlier, {str(index.name) for table in PARTITIONED for index in table.indexes})


def _assert_joined(db: Database, names: set[str]) -> None:
    with db.reading() as connection:
        for index in (index for table in PARTITIONED for index in table.indexes if index.name in names):
            assert missing_indexes._joined(connection, index) == set(missing_indexes._partitions(connection, index))


def test_writers_go_on_while_an_index_is_built(earlier: Database) -> None:
    """The build waits for a reader with an old view; whoever writes meanwhile waits for nobody."""
    with (
        psycopg.connect(_url(earlier)) as reader,
        psycopg.connect(_url(earlier), autocommit=True) as looker,
        ThreadPoolExecutor(1) as pool,
    ):
        reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        reader.execute("SELECT count(*) FROM hosts")
        upgrading = pool.submit(upgrade, _url(earlier))
        _await_build(looker)
        with earlier.writing() as connection:
            connection.exec_driver_sql("SET LOCAL lock_timeout = '2s'")
            _write_one(connection)
        assert not upgrading.done()
        reader.rollback()
        upgrading.result(timeout=60)
    require_head(earlier)
    assert _valid(earlier) >= LATER


def _await_build(connection: "psycopg.Connection[tuple[object, ...]]") -> None:
    for _ in range(1200):
        query = (
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX CONCURRENTLY%' AND state = 'active'"
        )
        (found,) = connection.execute(query).fetchone() or (0,)
        if found:
            return
        connection.execute("SELECT pg_sleep(0.05)")
    raise AssertionError("no index was built")


def test_what_was_broken_off_is_gone_on_with(earlier: Database) -> None:
    """A part that is of no use is built anew, and one that stands is joined as it is."""
    with psycopg.connect(_url(earlier), autocommit=True) as plain:
        (part,) = plain.execute("SELECT tableoid::regclass::text FROM attempts").fetchone() or ("",)
        plain.execute(f"CREATE INDEX ix_{part}_recorded_at ON {part} (recorded_at)")
        plain.execute(f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_{part}_recorded_at'::regclass")
        plain.execute("CREATE INDEX ix_updates_default_asked_by_id ON updates_default (asked_by, id)")
        plain.execute("CREATE INDEX ix_updates_asked_by_id ON ONLY updates (asked_by, id)")
    assert set(build_missing(earlier)) == LATER
    assert LATER | {f"ix_{part}_recorded_at"} <= _valid(earlier)


def test_two_that_build_wait_for_each_other(earlier: Database) -> None:
    """The second asks again and again, and finds the way free once the first is done."""
    with psycopg.connect(_url(earlier), autocommit=True) as other:

        class Waiting(HeldClock):
            def sleep(self, seconds: float) -> None:
                other.execute("SELECT pg_advisory_unlock_all()")
                super().sleep(seconds)

        other.execute("SELECT pg_advisory_lock(%s)", (missing_indexes._KEY,))
        clock = Waiting()
        began = clock.at
        assert set(build_missing(earlier, clock=clock)) == LATER
        assert clock.at > began


def test_a_table_in_use_is_told_and_loses_nothing(earlier: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(missing_indexes, "_LOCK_TIMEOUT_S", 0.2)
    with psycopg.connect(_url(earlier)) as other:
        other.execute("LOCK TABLE ONLY commands IN ROW EXCLUSIVE MODE")
        with pytest.raises(DatabaseUnreachable, match="lock timeout"):
            build_missing(earlier)
    assert set(build_missing(earlier)) == LATER
