"""Receivers: where registries say that something was pushed, and what they said last; of their secrets only the SHA-256 is kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, RowMapping, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from fleet.errors import Refused
from fleet.history.noted import audit
from fleet.history.sql.database import Database
from fleet.history.sql.lookup import find
from fleet.history.sql.plain import prose
from fleet.history.tables.pushes import receivers as table
from fleet.ids import new_id

MOST_RECEIVERS = 100
"""One for each registry is enough; whoever may add them must not fill the memory in which their pace is counted."""
USE_NOTED_EVERY = timedelta(minutes=1)
"""How exact ``last_used_at`` is where nothing came of it: a registry that tells of every pull writes no more than that."""
_DETAILED = 20
"""How many images one act of the audit names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverRow:
    """One receiver, without its secret."""

    id: UUID
    name: str
    registry: str
    created_by: str
    created_at: datetime
    last_used_at: datetime | None
    last_heard: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverLock:
    """What a receiver is found and opened by."""

    id: UUID
    name: str
    sha256: str
    registry: str
    last_used_at: datetime | None


def add_receiver(db: Database, *, name: str, sha256: str, registry: str, by: str, door: str) -> ReceiverRow:
    """Keep a new receiver with the hash of its secret; raise Refused where the name is taken, or there are too many."""
    with db.writing() as connection:
        now = db.moment(connection)
        if connection.execute(select(func.count()).select_from(table)).scalar_one() >= MOST_RECEIVERS:
            raise Refused(
                f"cannot add the receiver: there are {MOST_RECEIVERS} already; remove one with: fleet receiver rm"
            )
        row: dict[str, Any] = {"id": new_id(), "name": name, "sha256": sha256, "registry": registry}
        row |= {"created_by": by, "created_at": now, "last_heard": ""}
        try:
            connection.execute(insert(table).values(row))
        except IntegrityError:
            raise Refused(f"cannot add the receiver: the name {name!r} is taken") from None
        details = {"registry": registry}
        audit.note(connection, now, by=by, door=door, action="receiver add", subject=name, details=details)
        return _read(_find(connection, name))


def receivers(db: Database) -> list[ReceiverRow]:
    """Return every receiver, by name."""
    with db.reading() as connection:
        return [_read(row) for row in connection.execute(select(table).order_by(table.c.name)).mappings()]


def remove_receiver(db: Database, name: str, *, by: str, door: str) -> None:
    """Remove a receiver: who speaks to it is refused from now on; raise NotFound."""
    with db.writing() as connection:
        found = _find(connection, name)
        connection.execute(delete(table).where(table.c.id == found["id"]))
        audit.note(connection, db.moment(connection), by=by, door=door, action="receiver rm", subject=found["name"])


def receiver_lock(db: Database, id: UUID) -> ReceiverLock | None:
    """Return what proves who speaks to a receiver; None where there is none."""
    columns = (table.c.id, table.c.name, table.c.sha256, table.c.registry, table.c.last_used_at)
    with db.reading() as connection:
        row = connection.execute(select(*columns).where(table.c.id == id)).mappings().one_or_none()
        return None if row is None else ReceiverLock(**row)


def note_use(db: Database, lock: ReceiverLock, heard: str) -> None:
    """Write down that a receiver was spoken to and nothing came of it, as often as :data:`USE_NOTED_EVERY`."""
    now = db.now()
    if lock.last_used_at is None or lock.last_used_at <= now - USE_NOTED_EVERY:
        with db.writing() as connection:
            _used(connection, lock.id, now, heard)


def note_push(
    connection: Connection, now: datetime, lock: ReceiverLock, heard: str, images: Sequence[str], *, door: str
) -> None:
    """Write down, in the transaction that does it, what a receiver heard and which *images* are asked for because of that."""
    _used(connection, lock.id, now, heard)
    subject = images[0] if len(images) == 1 else f"{len(images)} images"
    details = {"heard": heard, "images": list(images[:_DETAILED])}
    by = f"receiver:{lock.name}"
    audit.note(connection, now, by=by, door=door, action="push heard", subject=subject, details=details)


def _used(connection: Connection, id: UUID, now: datetime, heard: str) -> None:
    connection.execute(update(table).where(table.c.id == id).values(last_used_at=now, last_heard=prose(heard)))


def _find(connection: Connection, name: str) -> RowMapping:
    return find(connection, table, name, what="receiver", name="name")


def _read(row: RowMapping) -> ReceiverRow:
    return ReceiverRow(**{name: value for name, value in row.items() if name != "sha256"})
