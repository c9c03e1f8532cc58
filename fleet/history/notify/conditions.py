"""Conditions that were told and still hold: what begins and what ends is written with the event that tells of it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, insert, select, text, update

from fleet.history.noted.events import event, tell
from fleet.history.sql.database import Database
from fleet.history.sql.plain import name, prose
from fleet.history.tables.notify import conditions as table
from fleet.ids import new_id
from fleet.notify.events import EventType
from fleet.notify.severity import Severity

QUIET = timedelta(minutes=5)
"""How long a condition must be away before its end is told: one that comes and goes is told once."""
LONGEST_QUIET = timedelta(hours=4)
"""The same for one that came back after its end was told, again and again: each time doubles it, up to this."""
KNOWN_FOR = timedelta(hours=24)
"""How long after its end a condition that comes back is still the same that came before."""
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
            before = known.get(key)
            if before is None or before["ended_at"] is not None:
                if key not in muted:
                    _raise(connection, each, before, now)
            elif before["away_since"] is not None:
                _set_away(connection, key, None)
        for key in known.keys() - holding.keys():
            _leave(connection, known[key], now)


def _raise(connection: Connection, seen: Seen, before: Any, now: datetime) -> None:
    """Tell that it began; *before* is when it held not long ago."""
    again = before is not None and now - before["ended_at"] < KNOWN_FOR
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
        "times": (before["times"] or 1) + 1 if again else 1,
        "ended_at": None,
    }
    if before is None:
        connection.execute(insert(table).values(row))
    else:
        connection.execute(update(table).where(*_is(row)).values(row))
    _tell(connection, EventType.CONDITION_RAISED, row, now)


def _leave(connection: Connection, row: Any, now: datetime) -> None:
    """Note that it holds no more; tell of it where that has lasted, and forget it a day later."""
    if row["ended_at"] is not None:
        if now - row["ended_at"] >= KNOWN_FOR:
            connection.execute(delete(table).where(*_is(row)))
    elif row["away_since"] is None:
        _set_away(connection, (row["code"], row["subject"]), now)
    elif now - row["away_since"] >= quiet(row["times"] or 1):
        connection.execute(update(table).where(*_is(row)).values(ended_at=now))
        _tell(connection, EventType.CONDITION_ENDED, row, now)


def quiet(times: int) -> timedelta:
    """Return how long a condition that was told so many times must be away before its end is told."""
    return min(QUIET * (1 << min(times - 1, 10)), LONGEST_QUIET)


def _is(row: Any) -> tuple[Any, ...]:
    return table.c.code == row["code"], table.c.subject == row["subject"]


def _set_away(connection: Connection, key: tuple[str, str], since: datetime | None) -> None:
    mine = (table.c.code == key[0], table.c.subject == key[1])
    connection.execute(update(table).where(*mine).values(away_since=since))


def _tell(connection: Connection, type: EventType, row: Any, now: datetime) -> None:
    details = {part: row[part] for part in ("code", "title", "text", "remedy")}
    details |= {"since": _written(row["since"]), "raised_at": _written(row["raised_at"])}
    details |= {"times": row["times"]} if (row["times"] or 1) > 1 else {}
    details |= {"ended_at": _written(row["away_since"])} if type is EventType.CONDITION_ENDED else {}
    kept = {key: value for key, value in details.items() if value}
    tell(
        connection,
        [event(id=new_id(), kind=(type, row["severity"]), at=now, subject=row["subject"], details=kept)],
    )


def _written(at: datetime | None) -> str:
    return at.isoformat(timespec="seconds").replace("+00:00", "Z") if at else ""
