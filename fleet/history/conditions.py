"""Conditions that were told and still hold: what begins and what ends is written with the event that tells of it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, insert, select, text, update

from fleet.history.database import Database
from fleet.history.events import event, tell
from fleet.history.notify_tables import conditions as table
from fleet.history.plain import name, prose
from fleet.ids import new_id
from fleet.notify.events import EventType
from fleet.notify.severity import Severity

QUIET = timedelta(minutes=5)
"""How long a condition must be away before its end is told: one that comes and goes is told once."""
_ONE_AT_A_TIME = 0x666C656574636F
"""The key of the advisory lock of whoever compares on PostgreSQL: two would tell of one condition twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One condition that holds now."""

    code: str
    subject: str
    severity: Severity
    title: str
    text: str
    remedy: str = ""
    since: datetime | None = None


def note(db: Database, seen: Sequence[Seen], *, muted: Collection[tuple[str, str]] = ()) -> None:
    """Tell of what of *seen* is new, and of what ended; of *muted* (code and subject) nothing that begins is told now."""
    with db.writing() as connection:
        if db.dialect == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ONE_AT_A_TIME})
        now = db.moment(connection)
        known = {(row["code"], row["subject"]): row for row in connection.execute(select(table)).mappings()}
        holding = {(name(each.code), name(each.subject)): each for each in seen}
        for key, each in holding.items():
            if key in known:
                if known[key]["away_since"] is not None:
                    _set_away(connection, key, None)
            elif key not in muted:
                _raise(connection, each, now)
        for key in known.keys() - holding.keys():
            _leave(connection, known[key], now)


def _raise(connection: Connection, seen: Seen, now: datetime) -> None:
    row = {
        "code": name(seen.code),
        "subject": name(seen.subject),
        "severity": seen.severity,
        "title": seen.title,
        "text": prose(seen.text),
        "remedy": prose(seen.remedy),
        "since": seen.since,
        "raised_at": now,
        "away_since": None,
    }
    connection.execute(insert(table).values(row))
    _tell(connection, EventType.CONDITION_RAISED, row, now)


def _leave(connection: Connection, row: Any, now: datetime) -> None:
    """Note that it holds no more; tell of it where that has lasted."""
    key = (row["code"], row["subject"])
    if row["away_since"] is None:
        _set_away(connection, key, now)
    elif now - row["away_since"] >= QUIET:
        connection.execute(delete(table).where(table.c.code == key[0], table.c.subject == key[1]))
        _tell(connection, EventType.CONDITION_ENDED, row, now)


def _set_away(connection: Connection, key: tuple[str, str], since: datetime | None) -> None:
    mine = (table.c.code == key[0], table.c.subject == key[1])
    connection.execute(update(table).where(*mine).values(away_since=since))


def _tell(connection: Connection, type: EventType, row: Any, now: datetime) -> None:
    details = {part: row[part] for part in ("code", "title", "text", "remedy")}
    details |= {"since": _written(row["since"]), "raised_at": _written(row["raised_at"])}
    kept = {key: value for key, value in details.items() if value}
    tell(
        connection,
        [event(id=new_id(), kind=(type, row["severity"]), at=now, subject=row["subject"], details=kept)],
    )


def _written(at: datetime | None) -> str:
    return at.isoformat(timespec="seconds").replace("+00:00", "Z") if at else ""
