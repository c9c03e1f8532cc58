"""The last 8 hex digits of an id, by which people call what has no name: tables show them, and commands take them."""

from typing import Any

from sqlalchemy import Text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction

from fleet.ids import SHORT_DIGITS


class short_id(GenericFunction[str]):  # noqa: N801, as SQL functions are
    """The short form of a column of ids, in lower case, as an index may hold it."""

    type = Text()
    inherit_cache = True


@compiles(short_id, "sqlite")
def _sqlite(element: short_id, compiler: Any, **how: Any) -> str:
    # Ids are 32 hex digits there; SQLite uses an index of an expression where the same text stands.
    return f"substr({compiler.process(element.clauses, **how)}, {32 - SHORT_DIGITS + 1})"


@compiles(short_id, "postgresql")
def _postgresql(element: short_id, compiler: Any, **how: Any) -> str:
    return f"right({compiler.process(element.clauses, **how)}::text, {SHORT_DIGITS})"
