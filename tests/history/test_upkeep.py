"""Copies and their way back, what is given up and when, what was refused, and whether all is whole."""

import sqlite3
import stat
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import func, insert, select, text, update

from fleet.errors import BadInput, FleetError, NotFound, Refused
from fleet.history.inbox.garbage import garbage, one_garbage
from fleet.history.inbox.taking import Bad
from fleet.history.noted import audit
from fleet.history.sql.database import Database
from fleet.history.tables import partitions
from fleet.history.tables.facts import attempts, commands, updates
from fleet.history.tables.facts import audit as acts
from fleet.history.upkeep import backup, retention, stats
from fleet.history.upkeep.backup import back_up, restore
from fleet.history.upkeep.upgrade import upgrade
from fleet.ids import short
from fleet.road.messages import Order
from tests import needs
from tests.history.conftest import HeldClock, Postgres
from tests.history.facts import write_facts
from tests.history.world import World, container, rows


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Put PostgreSQL's programs onto the path."""
    if "postgresql" in request.node.name:
        monkeypatch.setenv("PATH", str(needs.postgresql()), prepend=":")


@pytest.mark.usefixtures("tools")
def test_a_backup_brings_every_row_back(
    empty_url: str, tmp_path: Path, clock: HeldClock, request: pytest.FixtureRequest
) -> None:
    upgrade(empty_url)
    file = tmp_path / "backup"
    with closing(Database.open(empty_url, clock=clock)) as db:
        write_facts(db, 30, seed=2, now=clock.now())
        assert back_up(db, file) == file.stat().st_size
        before = rows(db, updates)
        with pytest.raises(Refused, match="is there already"):
            back_up(db, file)
        with pytest.raises(Refused, match="not empty"):
            restore(db, file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir() if "part" in path.name] == []
    with closing(Database.open(_another(empty_url, tmp_path, request), clock=clock)) as other:
        restore(other, file)
        assert rows(other, updates) == before
        assert [each.name for each in stats.check(other) if not each.ok and each.name != "partitions"] == ["days"]


def test_a_backup_ends_though_others_always_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is of the moment at which it began, and goes over the file once."""
    url, left = f"sqlite:///{tmp_path / 'fleet.db'}", list[int]()
    upgrade(url)
    db = Database.open(url)
    write_facts(db, 200, seed=2, now=db.now())

    def write(_status: int, remaining: int, _total: int) -> None:
        left.append(remaining)
        if len(left) < 300:
            audit.record(db, by="person:anna", door="socket", action="look", subject=str(len(left)))

    class Watched(sqlite3.Connection):
        def backup(self, target: sqlite3.Connection, **_: Any) -> None:
            super().backup(target, pages=20, progress=write)

    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=Watched))
    back_up(db, tmp_path / "backup")
    monkeypatch.undo()
    assert len(left) > 5
    assert left == sorted(left, reverse=True)
    with closing(Database.open(f"sqlite:///{tmp_path / 'backup'}")) as copy:
        assert len(rows(copy, updates)) == 200
        assert "look" not in {row["action"] for row in rows(copy, acts)}
    db.close()


def test_a_backup_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite leaves its journal on a disk that is full."""
    upgrade(f"sqlite:///{tmp_path / 'fleet.db'}")
    (folder := tmp_path / "backups").mkdir()

    def full(_source: Path, target: Path) -> None:
        target.with_name(f"{target.name}-journal").touch()
        raise FleetError("cannot copy: database or disk is full")

    monkeypatch.setattr(backup, "_copy", full)
    with closing(Database.open(f"sqlite:///{tmp_path / 'fleet.db'}")) as db, pytest.raises(FleetError, match="full"):
        back_up(db, folder / "monday")
    assert list(folder.iterdir()) == []


def test_a_backup_is_written_through_no_link_of_somebody_else(tmp_path: Path) -> None:
    """In a folder where others may write, the file that is written until it is whole could be made beforehand."""
    upgrade(f"sqlite:///{tmp_path / 'fleet.db'}")
    theirs = tmp_path / "theirs"
    theirs.touch(mode=0o666)
    (tmp_path / ".copy.db.part").symlink_to(theirs)
    with closing(Database.open(f"sqlite:///{tmp_path / 'fleet.db'}")) as db:
        back_up(db, tmp_path / "copy.db")
    assert theirs.read_bytes() == b""
    assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / "copy.db").is_symlink()


@pytest.mark.parametrize("url", ["postgresql://anna:geheim@/x", "postgresql://anna@/x?password=geheim"])
def test_no_password_stands_among_the_words_of_a_program(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "pg_dump"
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/words\necho "$PGPASSWORD" > {tmp_path}/secret\nexit 1\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with closing(Database.open(url)) as db, pytest.raises(FleetError):
        back_up(db, tmp_path / "copy")
    assert "geheim" not in (tmp_path / "words").read_text()
    assert (tmp_path / "secret").read_text() == "geheim\n"


def test_a_backup_may_have_any_name(tmp_path: Path) -> None:
    upgrade(f"sqlite:///{tmp_path / 'fleet.db'}")
    with closing(Database.open(f"sqlite:///{tmp_path / 'fleet.db'}")) as db:
        write_facts(db, 3, seed=1, now=db.now())
        back_up(db, tmp_path / "what? #1 100%.db")
    with closing(Database.open(f"sqlite:///{tmp_path / 'other.db'}")) as other:
        restore(other, tmp_path / "what? #1 100%.db")
        assert len(rows(other, updates)) == 3


def test_only_its_owner_reads_what_was_restored(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'fleet.db'}"
    upgrade(url)
    with closing(Database.open(url)) as db:
        back_up(db, tmp_path / "backup")
    with closing(Database.open(f"sqlite:///{tmp_path / 'other.db'}")) as other:
        restore(other, tmp_path / "backup")
        assert {path.stat().st_mode & 0o077 for path in tmp_path.glob("other.db*")} == {0}


def _another(url: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    if url.startswith("sqlite"):
        return f"sqlite:///{tmp_path / 'other.db'}"
    server: Postgres = request.getfixturevalue("postgres")
    name = f"restored_{request.node.name.partition('[')[0][-20:]}"
    server.create(name, "template0")
    request.addfinalizer(lambda: server.drop(name))
    return server.url(name)


def test_what_is_no_backup_is_refused(tmp_path: Path) -> None:
    db = Database.open(f"sqlite:///{tmp_path / 'new.db'}")
    for content in (b"", b"garbage", b"PGDMP", b"SQLite format 3\0 and then nothing"):
        (tmp_path / "file").write_bytes(content)
        with pytest.raises(BadInput, match="cannot restore"):
            restore(db, tmp_path / "file")
    with pytest.raises(BadInput, match="cannot read the backup"):
        restore(db, tmp_path / "none")
    db.close()


@pytest.mark.postgresql
def test_a_missing_pg_dump_is_named(pg: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Refused, match="pg_dump: it is not installed"):
        back_up(pg, tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


def test_facts_are_given_up_only_when_asked_to(db: Database, clock: HeldClock) -> None:
    write_facts(db, 40, seed=4, now=clock.now(), days=20)
    assert retention.prune(db) == {}
    if db.dialect == "sqlite":
        cut = clock.now() - timedelta(days=10)
        younger = {row["id"] for row in rows(db, updates) if row["id"] >= partitions.lowest_id(cut)}
        gone = retention.prune_facts(db, timedelta(days=10))
        assert {row["id"] for row in rows(db, updates)} == younger
        assert gone["updates"] == 40 - len(younger) > 0


def _month_of_facts(pg: Database, clock: HeldClock) -> None:
    """Fill June 2024, in partitions of its own."""
    now, clock.at = clock.at, datetime(2024, 6, 20, tzinfo=UTC)
    partitions.partitions(pg)
    write_facts(pg, 30, seed=4, now=clock.now(), days=9)
    clock.at = now


@pytest.mark.postgresql
def test_old_facts_go_by_whole_partitions(pg: Database, clock: HeldClock) -> None:
    _month_of_facts(pg, clock)
    gone = retention.prune_facts(pg, timedelta(days=100))
    assert gone["updates"] == 30
    assert rows(pg, updates) == []
    with pg.reading() as connection:
        left = connection.execute(text("SELECT to_regclass('updates_202406'), to_regclass('audit_202406')")).one()
        assert (left[0], left[1]) == (None, "audit_202406")


@pytest.mark.postgresql
def test_a_partition_in_use_is_left_and_nobody_waits(pg: Database, clock: HeldClock, postgres: Postgres) -> None:
    """A long reader keeps the drop away; the drop gives up at once, so that no writer stands behind it."""
    _month_of_facts(pg, clock)
    url = pg.engine.url
    with psycopg.connect(f"host={postgres.directory} user=postgres dbname={url.database}") as reader:
        reader.execute("SELECT count(*) FROM updates")
        assert partitions.drop_before(pg, updates, clock.now()) == {}
        with pg.writing() as connection:
            assert connection.execute(select(func.count()).select_from(updates)).scalar_one() == 30
    assert "updates_202406" in partitions.drop_before(pg, updates, clock.now())


@pytest.mark.parametrize("db", ["sqlite"], indirect=True)  # PostgreSQL drops whole partitions: see below
def test_a_command_is_given_up_only_once_it_ended(world: World, clock: HeldClock) -> None:
    world.add_host("web-1", container("app"))
    world.rollout()
    world.until(Order)
    clock.at = datetime.now(UTC) + timedelta(days=40)  # ids of facts are made by this machine's clock
    assert "commands" not in retention.prune_facts(world.db, timedelta(days=30))
    assert len(rows(world.db, commands)) == 1
    with world.db.writing() as connection:
        connection.execute(update(commands).values(ended_at=clock.now()))
    assert retention.prune_facts(world.db, timedelta(days=30))["commands"] == 1


@pytest.mark.postgresql
def test_a_partition_with_an_open_command_stays(pg: Database, clock: HeldClock) -> None:
    _month_of_facts(pg, clock)
    (known, *_) = rows(pg, updates)
    row = {column.name: None for column in commands.columns} | {
        "id": known["id"],
        "host_id": known["host_id"],
        "rollout_id": known["rollout_id"],
        "asked_by": "person:anna",
        "state": "pulling",
        "order": {},
        "targets": 1,
        "sent": 1,
        "reason": "",
        "created_at": clock.now(),
        "changed_at": clock.now(),
    }
    with pg.writing() as connection:
        connection.execute(insert(commands), [row])
    assert "commands_202406" not in partitions.drop_before(pg, commands, clock.now())
    assert len(rows(pg, commands)) == 1


@pytest.mark.postgresql
def test_old_attempts_are_dropped_by_the_planner(pg: Database, clock: HeldClock) -> None:
    _month_of_facts(pg, clock)
    assert retention.prune(pg)["attempts"] >= 1
    assert rows(pg, attempts) == []
    assert len(rows(pg, updates)) == 30


def test_garbage_is_kept_with_its_reason_and_may_be_looked_at(world: World) -> None:
    world.take_all([Bad(raw=b"\xff not a message", reason="cannot read it"), Bad(raw=b"x" * 9000, reason="too long")])
    newest, oldest = garbage(world.db).items
    assert {newest.reason, oldest.reason} == {"cannot read it", "too long"}
    long = next(row for row in (newest, oldest) if row.reason == "too long")
    assert (long.size_bytes, len(long.raw), long.host) == (9000, 4096, "")
    assert one_garbage(world.db, short(long.id)) == long
    with pytest.raises(NotFound, match="refused message"):
        one_garbage(world.db, "00000000")


def test_tables_are_told_with_their_rows(db: Database, clock: HeldClock) -> None:
    write_facts(db, 12, seed=2, now=clock.now())
    with db.writing() as connection:
        connection.execute(text("ANALYZE"))
    told = {table.table: table for table in stats.stats(db)}
    assert told["updates"].rows == 12
    assert told["hosts"].rows == 4
    assert stats.whole_bytes(db) > 100_000
    assert all(table.bytes is None or table.bytes >= 0 for table in told.values())


def test_a_database_that_is_well_passes(db: Database, clock: HeldClock) -> None:
    clock.at = datetime.now(UTC)
    partitions.partitions(db)  # as the planner does each day; tests of other clocks drop months
    assert [each for each in stats.check(db) if not each.ok] == []
    write_facts(db, 12, seed=2, now=clock.now())
    assert [each.name for each in stats.check(db) if not each.ok] == ["days"]
    retention.prune(db)
    assert [each for each in stats.check(db) if not each.ok] == []


def test_a_damaged_file_is_found(tmp_path: Path) -> None:
    path = tmp_path / "fleet.db"
    upgrade(f"sqlite:///{path}")
    db = Database.open(f"sqlite:///{path}")
    with db.writing() as connection:
        connection.exec_driver_sql("PRAGMA writable_schema=ON")
        connection.exec_driver_sql("DELETE FROM sqlite_master WHERE name = 'ix_updates_failures'")
    db.close()
    damaged = Database.open(f"sqlite:///{path}")
    assert [each.name for each in stats.check(damaged) if not each.ok] == ["integrity"]
    damaged.close()
