"""What the tables say of themselves, and that what happened is only ever added to."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

import fleet
from fleet.history.sql.database import Database
from fleet.history.tables.facts import PARTITIONED, commands
from fleet.history.tables.metadata import METADATA

FACTS = {table.name for table in PARTITIONED} - {commands.name}
"""What happened; a command is a state as well, and moves."""
SOURCE = Path(fleet.__file__).parent


def test_every_table_and_column_says_what_it_holds_and_in_which_unit() -> None:
    silent = [table.name for table in METADATA.sorted_tables if not table.comment]
    silent += [str(column) for table in METADATA.sorted_tables for column in table.columns if not column.comment]
    assert silent == []
    units = {"_ms": "millisecond", "_s": "second", "bytes": "byte"}
    unclear = [
        str(column)
        for table in METADATA.sorted_tables
        for column in table.columns
        for ending, unit in units.items()
        if column.name.endswith(ending) and unit not in (column.comment or "")
    ]
    assert unclear == []


@pytest.mark.postgresql
def test_whoever_looks_at_the_database_reads_the_same(pg: Database) -> None:
    query = "SELECT c.relname, a.attname, col_description(c.oid, a.attnum) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
    with pg.reading() as connection:
        told = {(row[0], row[1]): row[2] for row in connection.execute(text(query))}
    for table in METADATA.sorted_tables:
        for column in table.columns:
            assert told[table.name, column.name] == column.comment


def test_facts_are_only_added_to() -> None:
    """No function of the product changes or deletes a row of what happened, the audit among them; retention alone gives up
    what is old, and names its tables in two lists, neither of which has the audit."""
    changed = {
        (path.relative_to(SOURCE).as_posix(), name)
        for path in sorted(SOURCE.rglob("*.py"))
        for name in _changed(ast.parse(path.read_text()))
    }
    assert {(path, name) for path, name in changed if name in FACTS} == set()


def _changed(tree: ast.AST) -> Iterator[str]:
    """Yield the names on which update or delete is called: ``update(x)``, ``x.delete()``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            match node.func, node.args:
                case ast.Name(id="update" | "delete"), [ast.Name(id=name), *_]:
                    yield name
                case ast.Attribute(attr="update" | "delete", value=ast.Name(id=name)), _:
                    yield name


def test_retention_never_gives_up_the_audit() -> None:
    from fleet.history.upkeep import retention

    given_up = {table.name for table in retention.FACTS} | {"mirror_probes", "attempts"}
    assert "audit" not in given_up
    assert not hasattr(retention, "audit")
