"""How many conditions held when a planner last looked: to look takes long in a large fleet, so others read what it found."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select

from fleet.history.sql.database import Database
from fleet.history.tables.counters import condition_counts as table


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What the latest look found."""

    at: datetime
    subjects: Mapping[str, int]
    """By the condition's code: of how many hosts, mirrors or images it held."""


def keep_look(db: Database, subjects: Mapping[str, int]) -> None:
    """Keep what a look found now, in place of what the one before had."""
    with db.writing() as connection:
        now = db.moment(connection)
        connection.execute(delete(table))
        if subjects:
            rows = [{"code": code, "subjects": count, "looked_at": now} for code, count in sorted(subjects.items())]
            connection.execute(insert(table), rows)


def latest_look(connection: Connection) -> Look | None:
    """Return what the latest look found; None: no planner has looked yet."""
    rows = connection.execute(select(table)).all()
    if not rows:
        return None
    return Look(at=min(row.looked_at for row in rows), subjects={row.code: row.subjects for row in rows})
