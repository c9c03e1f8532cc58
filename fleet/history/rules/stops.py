"""What people said shall not be updated for now: freezes of hosts, holds, snoozes and skips of containers and images."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, false, insert, or_, select, text, true, update

from fleet.errors import Refused
from fleet.history.noted import audit
from fleet.history.sql.database import Database
from fleet.history.sql.lookup import find
from fleet.history.sql.plain import prose
from fleet.history.tables.inventory import hosts
from fleet.history.tables.rollouts import stops as table
from fleet.ids import new_id
from fleet.rollouts.selector import Selector
from fleet.rollouts.stops import Stop, StopKind, check_stop

_LOOKING = 0x666C65657473
"""The key of the advisory lock of those who send by the stops that they see on PostgreSQL."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRow(Stop):
    """One stop, with what became of it."""

    created_at: datetime
    lifted_by: str = ""
    lifted_at: datetime | None = None


def create_stop(
    db: Database,
    kind: StopKind,
    selector: Selector,
    *,
    digest: str = "",
    reason: str = "",
    ends_at: datetime | None = None,
    by: str,
    door: str,
) -> StopRow:
    """Stop something from now on; what touched no container yet is called off. Raise BadInput for what means nothing."""
    with db.writing() as connection:
        # Whoever looks at stops to send a message has sent it before this one holds, or sees it.
        if db.dialect == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOOKING})
        now = db.moment(connection)
        check_stop(kind, selector, digest, ends_at, now)
        row: dict[str, Any] = {
            "id": new_id(),
            "kind": kind,
            "selector": selector.document(),
            "digest": digest,
            "reason": prose(reason),
            "created_by": by,
            "created_at": now,
            "begins_at": now,
            "ends_at": ends_at,
            "lifted_by": "",
            "lifted_at": None,
        }
        connection.execute(insert(table).values(row))
        details = {"selector": row["selector"], "reason": row["reason"]}
        details |= {"digest": digest} if digest else {}
        details |= {"until": ends_at.isoformat()} if ends_at else {}
        audit.note(connection, now, by=by, door=door, action=f"{kind} create", subject=row["id"].hex, details=details)
        return _read(find(connection, table, row["id"], what="stop"))


def lift_stop(db: Database, id: str | UUID, *, by: str, door: str) -> StopRow:
    """End a stop before its time; raise NotFound, and Refused where it is over already."""
    with db.writing() as connection:
        found = find(connection, table, id, what="stop", lock=True)
        now = db.moment(connection)
        if found["lifted_at"] is not None or (found["ends_at"] is not None and found["ends_at"] <= now):
            raise Refused(f"cannot lift this {found['kind']}: it is over already")
        values = {"lifted_at": now, "lifted_by": by}
        connection.execute(update(table).where(table.c.id == found["id"]).values(values))
        audit.note(connection, now, by=by, door=door, action=f"{found['kind']} lift", subject=found["id"].hex)
        return _read(find(connection, table, found["id"], what="stop"))


def stops(db: Database) -> list[StopRow]:
    """Return the stops that hold now or will hold, oldest first."""
    with db.reading() as connection:
        now = db.moment(connection)
        query = select(table).where(table.c.lifted_at.is_(None), _not_over(now)).order_by(table.c.id)
        return [_read(row) for row in connection.execute(query).mappings()]


def holding(connection: Connection, now: datetime) -> list[StopRow]:
    """Return the stops that hold at *now*."""
    query = select(table).where(table.c.lifted_at.is_(None), _not_over(now), table.c.begins_at <= now)
    return [_read(row) for row in connection.execute(query.order_by(table.c.id)).mappings()]


def look(connection: Connection) -> None:
    """Let no new stop be written until this transaction, which is to send by what it sees, has ended."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock_shared(:key)"), {"key": _LOOKING})


def frozen(stops: list[StopRow]) -> ColumnElement[bool]:
    """Return the condition, over ``hosts``, that a host is under one of *stops*."""
    return or_(false(), *(takes(stop.selector) for stop in stops if stop.kind is StopKind.FREEZE))


def takes(selector: Selector) -> ColumnElement[bool]:
    """Return the condition, over ``hosts``, that *selector* takes a host; it knows no ``[...]``."""
    names = or_(*(hosts.c.name.like(_like(glob), escape="\\") for glob in selector.hosts)) if selector.hosts else true()
    # A host without the label is not under it: false and unknown is false, where unknown alone would be neither.
    there = (hosts.c.labels[key].as_string().is_not(None) for key in selector.labels)
    labels = (hosts.c.labels[key].as_string().like(_like(glob), escape="\\") for key, glob in selector.labels.items())
    return and_(names, *there, *labels)


def _like(glob: str) -> str:
    """Return a glob of ``*`` and ``?`` as LIKE reads it."""
    for sign in "\\%_":
        glob = glob.replace(sign, "\\" + sign)
    return glob.replace("*", "%").replace("?", "_")


def _not_over(now: datetime) -> ColumnElement[bool]:
    return or_(table.c.ends_at.is_(None), table.c.ends_at > now)


def _read(row: RowMapping) -> StopRow:
    return StopRow(**{**row, "selector": Selector.parse(row["selector"])})
