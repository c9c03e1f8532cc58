"""Migrations make what the models say, on both databases, and lose nothing of what is there."""

import subprocess
import sys
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Integer,
    LargeBinary,
    Table,
    Uuid,
    func,
    insert,
    inspect,
    select,
    text,
)

from fleet.errors import BadInput, DatabaseUnreachable, Refused
from fleet.history.sql.columns import Items, UtcTime, Words
from fleet.history.sql.database import Database
from fleet.history.tables.facts import PARTITIONED, audit
from fleet.history.tables.metadata import METADATA
from fleet.history.tables.partitions import lowest_id, partitions
from fleet.history.upkeep.upgrade import _config, migrations, require_head, upgrade
from fleet.ids import new_id
from tests.history.conftest import HeldClock


# SQLite tells nothing of an index of an expression; that it is there and used is seen in test_plans_of_queries.py.
@pytest.mark.filterwarnings("ignore:.*expression-based index")
def test_migrations_make_what_the_models_say(db: Database) -> None:
    parts = tuple(f"{table.name}_" for table in PARTITIONED)

    def ours(thing: object, name: str | None, kind: str, reflected: bool, other: object) -> bool:
        return not (kind == "table" and reflected and name is not None and name.startswith(parts) and other is None)

    with db.reading() as connection:
        context = MigrationContext.configure(connection, opts={"include_object": ours})
        assert compare_metadata(context, METADATA) == []


def test_an_upgrade_may_be_run_twice_and_keeps_the_rows(empty_url: str) -> None:
    upgrade(empty_url)
    db = Database.open(empty_url)
    with db.writing() as connection:
        connection.execute(insert(audit), [_act()])
    upgrade(empty_url)
    require_head(db)
    with db.reading() as connection:
        assert len(connection.execute(select(audit)).all()) == 1
    db.close()


def test_two_upgrades_at_once_do_no_harm(empty_url: str) -> None:
    program = [sys.executable, "-c", f"from fleet.history.upkeep.upgrade import upgrade; upgrade({empty_url!r})"]
    running = [subprocess.Popen(program, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    assert [each.communicate(timeout=100)[1] for each in running] == ["", ""]
    db = Database.open(empty_url)
    require_head(db)
    db.close()


def test_only_its_owner_reads_an_sqlite_file(tmp_path: Path) -> None:
    upgrade(f"sqlite:///{tmp_path / 'fleet.db'}")
    assert [path.stat().st_mode & 0o077 for path in tmp_path.iterdir()] == [0]


def test_a_place_that_cannot_hold_a_database_is_told(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnreachable, match=f"cannot use the database {tmp_path}/none/fleet.db: unable to open"):
        upgrade(f"sqlite:///{tmp_path / 'none' / 'fleet.db'}")


def test_a_url_that_is_none_is_refused_without_being_quoted() -> None:
    for url in ("mysql://root:secret@x/y", "secret", "sqlite://", "sqlite:///:memory:"):
        with pytest.raises(BadInput, match="cannot use") as error:
            Database.open(url)
        assert "secret" not in str(error.value)


def test_a_server_that_is_away_is_told(tmp_path: Path) -> None:
    db = Database.open(f"postgresql://postgres@/x?host={tmp_path}")
    with pytest.raises(DatabaseUnreachable, match="cannot use the database x at this machine: "):
        db.now()


def test_times_are_those_of_the_database_and_aware(empty_url: str) -> None:
    db = Database.open(empty_url)
    assert abs(db.now() - datetime.now(UTC)) < timedelta(minutes=1)
    assert db.now().tzinfo is not None
    db.close()


def test_every_migration_keeps_the_rows_that_it_finds(empty_url: str) -> None:
    """Each revision runs over a database that was filled at the revision before."""
    db = Database.open(empty_url)
    scripts = ScriptDirectory(str(migrations()))
    revisions = [script.revision for script in scripts.walk_revisions()][::-1]
    assert revisions[0] == "0001"
    filled: list[Table] = []
    for revision in revisions:
        with db.writing() as connection:
            command.upgrade(_config(connection), revision)
            seen = inspect(connection)
            # In the order of the foreign keys of that time.
            there = [name for name, _ in seen.get_sorted_table_and_fkc_names() if name and name in METADATA.tables]
            for table in (METADATA.tables[name] for name in there):
                if table not in filled:
                    # A later revision may give it more columns.
                    known = {column["name"] for column in seen.get_columns(table.name)}
                    row = {name: value for name, value in _row(table).items() if name in known}
                    connection.execute(insert(table).values(row))
                    filled.append(table)
    require_head(db)
    with db.reading() as connection:
        for table in METADATA.sorted_tables:
            assert connection.execute(select(func.count()).select_from(table)).scalar_one() == 1, table.name
    with db.writing() as connection:
        command.downgrade(_config(connection), "base")
        assert not set(inspect(connection).get_table_names()) & set(METADATA.tables)
    db.close()


_ID = new_id()


def _row(table: Table) -> dict[str, object]:
    """Return a row with something in every column; all ids are one, so that every foreign key holds."""
    return {column.name: _value(column) for column in table.columns}


def _value(column: Column[Any]) -> object:
    match column.type:
        case Uuid():
            return _ID
        case UtcTime():
            return datetime.now(UTC)
        case Words(words=words):
            return next(iter(words))
        case Items():
            return [1]
        case JSON():
            return {"a": 1}
        case LargeBinary():
            return b"x"
        case Boolean():
            return True
        case Integer() | BigInteger():
            return 1
        case _:
            return "x"


def test_a_database_without_tables_is_refused_with_the_remedy(empty_url: str) -> None:
    db = Database.open(empty_url)
    with pytest.raises(Refused, match="fleet db upgrade"):
        require_head(db)
    db.close()


def test_a_database_of_a_newer_version_is_refused(empty_url: str) -> None:
    upgrade(empty_url)
    db = Database.open(empty_url)
    with db.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Refused, match="newer"):
        require_head(db)
    with pytest.raises(Refused, match="newer"):
        upgrade(empty_url)
    db.close()


def test_migrations_are_found() -> None:
    assert (migrations() / "env.py").is_file()


def test_the_wheel_takes_the_migrations_along() -> None:
    """The path in the wheel is the one that the program looks at."""
    project = tomllib.loads((migrations().parent / "pyproject.toml").read_text())
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"] == {"migrations": "fleet/_migrations"}


@pytest.mark.postgresql
def test_what_is_committed_is_on_the_disk_whatever_the_server_says(pg: Database) -> None:
    """The inbox takes away at the broker what it committed; the tests' own server is told not to wait for the disk."""
    with pg.reading() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar_one() == "on"


def test_rows_lie_in_the_partition_of_their_month(pg: Database) -> None:
    began = datetime.now(UTC)
    with pg.writing() as connection:
        connection.execute(insert(audit), [_act()])
        name = connection.execute(text("SELECT tableoid::regclass::text FROM audit")).scalar_one()
    assert name in {f"audit_{at:%Y%m}" for at in (began, datetime.now(UTC))}


@pytest.mark.postgresql
def test_a_row_beyond_the_partitions_moves_once_its_month_is_made(pg: Database, clock: HeldClock) -> None:
    far = datetime(2031, 5, 7, tzinfo=UTC)
    with pg.writing() as connection:
        connection.execute(insert(audit), [{**_act(), "id": lowest_id(far)}])
        assert connection.execute(text("SELECT tableoid::regclass::text FROM audit")).scalar_one() == "audit_default"
    clock.at = far
    assert "audit_203105" in partitions(pg)
    assert partitions(pg) == []
    with pg.reading() as connection:
        assert connection.execute(text("SELECT tableoid::regclass::text FROM audit")).scalar_one() == "audit_203105"


def _act() -> dict[str, object]:
    return {
        "id": new_id(),
        "who": "person:anna",
        "door": "socket",
        "action": "host add",
        "subject": "web-1",
        "details": {},
        "at": datetime.now(UTC),
    }
