"""Every migration can be taken back, one by one, and leaves the tables as it found them, on both databases."""

from collections.abc import Iterator

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Inspector, inspect, text

from fleet.history.sql.database import Database
from fleet.history.upkeep.upgrade import _config, migrations

ALEMBICS_OWN = "alembic_version"
KEPT_BY = {
    "sqlite": ("SELECT sql FROM sqlite_master WHERE type IN ('index', 'trigger') AND sql IS NOT NULL",),
    "postgresql": (
        f"SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> '{ALEMBICS_OWN}'",
        "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal",
        "SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace",
        "SELECT relname || ' ' || reloptions::text FROM pg_class"
        " WHERE relnamespace = 'public'::regnamespace AND reloptions IS NOT NULL",
        "SELECT attrelid::regclass || '.' || attname || ' ' || attstorage::text FROM pg_attribute"
        " JOIN pg_class c ON c.oid = attrelid WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
        f" AND attnum > 0 AND NOT attisdropped AND relname <> '{ALEMBICS_OWN}'",
    ),
}
"""What each database says itself of what an inspector does not tell in full."""


# SQLite tells nothing of an index of an expression; its text is compared all the same.
@pytest.mark.filterwarnings("ignore:.*expression-based index")
def test_a_downgrade_leaves_what_the_upgrade_found(empty_url: str) -> None:
    db = Database.open(empty_url)
    revisions = [script.revision for script in ScriptDirectory(str(migrations())).walk_revisions()][::-1]
    found: dict[str, set[str]] = {}
    for revision in revisions:
        with db.writing() as connection:
            found[revision] = set(_shape(connection))
            command.upgrade(_config(connection), revision)
    for revision in revisions[::-1]:
        with db.writing() as connection:
            command.downgrade(_config(connection), "-1")
            left = set(_shape(connection))
        assert (revision, found[revision] - left, left - found[revision]) == (revision, set(), set())
    db.close()


def _shape(connection: Connection) -> Iterator[str]:
    seen = inspect(connection)
    for table in set(seen.get_table_names()) - {ALEMBICS_OWN}:
        yield from (f"{table}: {each}" for each in _of_table(seen, table, connection.dialect.name))
    for query in KEPT_BY[connection.dialect.name]:
        yield from connection.execute(text(query)).scalars()


def _of_table(seen: Inspector, table: str, dialect: str) -> Iterator[object]:
    yield from ({**column, "type": repr(column["type"])} for column in seen.get_columns(table))
    yield seen.get_pk_constraint(table)
    yield from seen.get_foreign_keys(table)
    yield from seen.get_unique_constraints(table)
    yield from seen.get_check_constraints(table)
    if dialect == "postgresql":  # SQLite keeps no comments
        yield seen.get_table_comment(table)
