"""Find one row by what a person calls it: its name, its id, or the last 8 hex digits of its id."""

import re
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, RowMapping, Table, select

from fleet.errors import BadInput, NotFound
from fleet.history.sql.short_id import short_id
from fleet.ids import SHORT_DIGITS

_SHORT = re.compile(rf"[0-9a-f]{{{SHORT_DIGITS}}}")
_SEEN_BY = {
    "channel": "see: fleet notify ls",
    "host": "see: fleet host ls",
    "link": "it is wrong, was taken back, or is too old to be kept; see: fleet rollout ls",
    "outcome": "see: fleet history",
    "plan": "make one with: fleet plan",
    "receiver": "see: fleet receiver ls",
    "refused message": "see: fleet db garbage",
    "rollout": "see: fleet rollout ls",
    "schedule": "see: fleet schedule ls",
    "stop": "see: fleet stops",
    "token": "see: fleet token ls",
}
"""The remedy of what cannot be found: where the right name or id stands."""


def find(
    connection: Connection,
    table: Table,
    wanted: str | UUID,
    *,
    what: str,
    name: str = "",
    among: ColumnElement[bool] | None = None,
    lock: bool = False,
) -> RowMapping:
    """Return the one row of *table* (whose column *name* holds names) that *wanted* means.

    Raises NotFound, and BadInput where the short id means several.
    """
    query = select(table)
    if among is not None:
        query = query.where(among)
    if lock:
        query = query.with_for_update()
    for condition in _conditions(table, wanted, name):
        rows = connection.execute(query.where(condition)).mappings().fetchmany(2)
        if len(rows) == 2:
            raise BadInput(f"cannot tell which {what} {wanted} is: several end so; give the whole id")
        if rows:
            return rows[0]
    raise not_found(what, wanted)


def not_found(what: str, wanted: object) -> NotFound:
    """Return the error that names what there is none of, and where one would stand."""
    return NotFound(f"cannot find the {what} {str(wanted)[:80]!r}; {_SEEN_BY[what]}")


def _conditions(table: Table, wanted: str | UUID, name: str) -> list[Any]:
    if isinstance(wanted, UUID):
        return [table.c.id == wanted]
    found: list[Any] = []
    if name and "\0" not in wanted:
        found.append(table.c[name] == wanted)
    if (id := as_uuid(wanted)) is not None:
        found.append(table.c.id == id)
    if _SHORT.fullmatch(wanted):
        found.append(short_id(table.c.id) == wanted)
    return found


def as_uuid(text: str) -> UUID | None:
    """Return the UUID that *text* is; None where it is none."""
    try:
        return UUID(text)
    except ValueError:
        return None
