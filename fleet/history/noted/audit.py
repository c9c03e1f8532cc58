"""Who did what, through which door."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, insert, select

from fleet.errors import BadInput
from fleet.history.questions.query_terms import asker
from fleet.history.sql.database import Database
from fleet.history.sql.pages import FIRST, Page, PageRequest, page_of
from fleet.history.tables.facts import audit
from fleet.ids import new_id, of_number

_APART_MS = 3_600_000
"""How far the clocks of the database and of who makes ids may be apart, milliseconds: acts are found by their ids, and told
by their times."""
_LAST_MS = (1 << 48) - 1
"""The latest time that an id can hold, milliseconds since 1970."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRow:
    """One act."""

    id: UUID
    who: str
    door: str
    action: str
    subject: str
    details: dict[str, Any]
    at: datetime


def record(
    db: Database, *, by: str, door: str, action: str, subject: str, details: Mapping[str, Any] | None = None
) -> None:
    """Write down one act that no other function of this room wrote down already; *details* hold no secret."""
    with db.writing() as connection:
        note(connection, db.moment(connection), by=by, door=door, action=action, subject=subject, details=details or {})


def note(
    connection: Connection,
    now: datetime,
    *,
    by: str,
    door: str,
    action: str,
    subject: str,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Write down one act in the transaction that does it."""
    row = {
        "id": new_id(),
        "who": by,
        "door": door,
        "action": action,
        "subject": subject,
        "details": dict(details or {}),
        "at": now,
    }
    connection.execute(insert(audit), row)


def acts(
    db: Database,
    page: PageRequest = FIRST,
    *,
    who: str = "",
    subject: str = "",
    action: str = "",
    since: datetime | None = None,
    until: datetime | None = None,
) -> Page[AuditRow]:
    """Return what was done, newest first: by *who* (``person:anna``, or ``anna``), to *subject*, of kind *action*, from
    *since* on and before *until*.
    """
    asked = [
        *([audit.c.who.in_(asker(who))] if who else []),
        *([audit.c.subject == subject] if subject else []),
        *([audit.c.action == action] if action else []),
        *([audit.c.at >= since, audit.c.id >= _first_id(since, -_APART_MS)] if since else []),
        *([audit.c.at < until, audit.c.id < _first_id(until, _APART_MS)] if until else []),
    ]
    if "\0" in who + subject + action:
        raise BadInput("cannot look for a text with a NUL in it")
    with db.reading() as connection:
        return page_of(connection, select(audit).where(*asked), audit.c.id, page, lambda row: AuditRow(**row))


def _first_id(at: datetime, apart_ms: int) -> UUID:
    """Return an id below all that are made so long after *at*: the first 48 bits of an id are the time at which it was made."""
    return of_number(min(max(0, int(at.timestamp() * 1000) + apart_ms), _LAST_MS) << 80)
