"""What is done by the clock."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, RowMapping, case, delete, func, insert, literal, or_, select, update
from sqlalchemy.exc import IntegrityError

from fleet.errors import BadInput, Refused
from fleet.history.noted import audit
from fleet.history.sql.database import Database
from fleet.history.sql.lookup import find
from fleet.history.sql.plain import prose
from fleet.history.tables.rollouts import schedules as table
from fleet.history.tables.words import ScheduleAction
from fleet.ids import new_id
from fleet.rollouts.cron import next_run
from fleet.rollouts.selector import Selector
from fleet.rollouts.spec import RolloutSpec

LEASE = timedelta(minutes=10)
"""How long who claimed a due schedule has time to run it, before it is due again."""

_LONGEST_NAME = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleRow:
    """One schedule."""

    id: UUID
    name: str
    cron: str
    zone: str
    action: ScheduleAction
    selector: Selector
    spec: RolloutSpec | None
    enabled: bool
    created_by: str
    created_at: datetime
    next_run_at: datetime | None
    last_run_at: datetime | None
    last_result: str
    late: timedelta | None = None
    """How late a run may begin; later it is missed. None: however late."""
    missed: int = 0
    """How many runs never began."""
    last_missed_at: datetime | None = None
    """When the latest of them was due."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleChange:
    """What of a schedule shall be otherwise; None leaves it as it is."""

    cron: str | None = None
    zone: str | None = None
    action: ScheduleAction | None = None
    selector: Selector | None = None
    spec: RolloutSpec | None = None
    without_spec: bool = False
    """Whether it shall have no spec any more."""
    late: timedelta | None = None
    """Nothing at all: however late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DueSchedule:
    """A schedule whose time has come, leased to whoever claimed it."""

    schedule: ScheduleRow
    due_at: datetime
    """When it was due."""


def create_schedule(
    db: Database,
    *,
    name: str,
    cron: str,
    zone: str,
    action: ScheduleAction,
    selector: Selector,
    spec: RolloutSpec | None = None,
    late: timedelta | None = None,
    by: str,
    door: str,
) -> ScheduleRow:
    """Create a schedule; raises BadInput for a cron or zone that cannot be used, Refused where the name is taken.

    A run that begins later than *late* after its time is missed instead; None: it is made good however late.
    """
    if not name or len(name) > _LONGEST_NAME or not name.isprintable():
        raise BadInput(f"cannot use {name[:40]!r} as a schedule's name; give 1 to {_LONGEST_NAME} printable characters")
    with db.writing() as connection:
        now = db.moment(connection)
        row: dict[str, Any] = {
            "id": new_id(),
            "name": name,
            "cron": cron,
            "zone": zone,
            "action": action,
            "selector": selector.document(),
            "spec": spec.document() if spec else None,
            "enabled": True,
            "created_by": by,
            "created_at": now,
            "next_run_at": next_run(cron, zone, now),
            "last_result": "",
            "late_ms": None if late is None else round(late.total_seconds() * 1000),
            "missed": 0,
        }
        try:
            connection.execute(insert(table).values(row))
        except IntegrityError:
            raise Refused(f"cannot create the schedule: the name {name!r} is taken") from None
        details = {"cron": cron, "zone": zone, "action": action.value, "selector": row["selector"]}
        _note(connection, now, name, "schedule create", by, door, details)
        return _read(find(connection, table, row["id"], what="schedule"))


def schedule(db: Database, name_or_id: str | UUID) -> ScheduleRow:
    """Return the schedule with this name or id; raises NotFound."""
    with db.reading() as connection:
        return _read(_find(connection, name_or_id))


def schedules(db: Database) -> list[ScheduleRow]:
    """Return every schedule, by name."""
    with db.reading() as connection:
        return [_read(row) for row in connection.execute(select(table).order_by(table.c.name)).mappings()]


def enable_schedule(db: Database, name_or_id: str | UUID, *, enabled: bool, by: str, door: str) -> ScheduleRow:
    """Pause a schedule, or let it run again from its next time on; raises NotFound."""
    with db.writing() as connection:
        found = _find(connection, name_or_id, lock=True)
        now = db.moment(connection)
        values: dict[str, Any] = {"enabled": enabled}
        if enabled and not found["enabled"]:
            values["leased_until"] = None
            values["next_run_at"] = next_run(found["cron"], found["zone"], now)
        return _change(connection, found, values, now, "schedule resume" if enabled else "schedule pause", by, door)


def change_schedule(db: Database, name_or_id: str | UUID, change: ScheduleChange, *, by: str, door: str) -> ScheduleRow:
    """Change a schedule; a run that is under way ends as it was. Raises NotFound, and BadInput for a cron or zone."""
    with db.writing() as connection:
        found = _find(connection, name_or_id, lock=True)
        now = db.moment(connection)
        values = _changed(change)
        cron, zone = values.get("cron", found["cron"]), values.get("zone", found["zone"])
        details = {key: value for key, value in values.items() if key != "spec"} | (
            {"spec": values["spec"] is not None} if "spec" in values else {}
        )
        if (cron, zone) != (found["cron"], found["zone"]):
            # Who runs it now has read the old times: the lease is taken away, so that they say nothing of the next run.
            values |= {"next_run_at": next_run(cron, zone, now), "leased_until": None}
        if not values:
            return _read(found)
        return _change(connection, found, values, now, "schedule edit", by, door, details)


def _changed(change: ScheduleChange) -> dict[str, Any]:
    """Return the columns that a change writes."""
    values: dict[str, Any] = {"cron": change.cron, "zone": change.zone, "action": change.action}
    values["selector"] = None if change.selector is None else change.selector.document()
    values = {name: value for name, value in values.items() if value is not None}
    if change.spec is not None or change.without_spec:
        values["spec"] = None if change.spec is None else change.spec.document()
    if change.late is not None:
        values["late_ms"] = round(change.late.total_seconds() * 1000) or None
    return values


def delete_schedule(db: Database, name_or_id: str | UUID, *, by: str, door: str) -> None:
    """Delete a schedule; what it did stays in the history. Raises NotFound."""
    with db.writing() as connection:
        found = _find(connection, name_or_id, lock=True)
        connection.execute(delete(table).where(table.c.id == found["id"]))
        _note(connection, db.moment(connection), found["name"], "schedule rm", by, door, {"cron": found["cron"]})


def run_schedule_now(db: Database, name_or_id: str | UUID, *, by: str, door: str) -> ScheduleRow:
    """Make a schedule due at once; raises NotFound, and Refused where it is paused."""
    with db.writing() as connection:
        found = _find(connection, name_or_id, lock=True)
        if not found["enabled"]:
            raise Refused(f"cannot run the schedule {found['name']!r}: it is paused; resume it first")
        now = db.moment(connection)
        return _change(connection, found, {"next_run_at": now}, now, "schedule run", by, door)


def claim_due(db: Database, now: datetime) -> list[DueSchedule]:
    """Return the schedules that are due at *now*, each to one caller alone; one that is not told of by ``ran`` within
    ten minutes is due again.
    """
    free = or_(table.c.leased_until.is_(None), table.c.leased_until <= now)
    query = select(table).where(table.c.enabled, table.c.next_run_at <= now, free).order_by(table.c.next_run_at)
    with db.writing() as connection:
        rows = connection.execute(query.with_for_update(skip_locked=True)).mappings().all()
        taken = update(table).where(table.c.id.in_([row["id"] for row in rows]))
        connection.execute(taken.values(leased_until=now + LEASE))
        return [DueSchedule(schedule=_read(row), due_at=row["next_run_at"]) for row in rows]


def ran(
    db: Database,
    id: UUID,
    result: str,
    next_run_at: datetime | None,
    *,
    missed: Sequence[datetime] = (),
    began: bool = True,
) -> None:
    """Write down what came of a run, and when the next one is; None: never, until it is resumed.

    *missed* are the times at which a run was due and never began, in order; *began* is False where this one is among
    them. Where the schedule's times were changed meanwhile, its next run stays as they say.
    """
    with db.writing() as connection:
        following = case(
            (table.c.leased_until.is_(None), table.c.next_run_at), else_=literal(next_run_at, table.c.next_run_at.type)
        )
        values: dict[str, Any] = {"last_result": prose(result), "leased_until": None, "next_run_at": following}
        values |= {"last_run_at": db.moment(connection)} if began else {}
        if missed:
            values |= {"missed": func.coalesce(table.c.missed, 0) + len(missed), "last_missed_at": missed[-1]}
        connection.execute(update(table).where(table.c.id == id).values(values))


def _change(
    connection: Connection,
    found: RowMapping,
    values: dict[str, Any],
    now: datetime,
    action: str,
    by: str,
    door: str,
    details: dict[str, Any] | None = None,
) -> ScheduleRow:
    connection.execute(update(table).where(table.c.id == found["id"]).values(values))
    _note(connection, now, found["name"], action, by, door, details or {})
    return _read(find(connection, table, found["id"], what="schedule"))


def _note(
    connection: Connection, now: datetime, name: str, action: str, by: str, door: str, details: dict[str, Any]
) -> None:
    audit.note(connection, now, by=by, door=door, action=action, subject=name, details=details)


def _find(connection: Connection, name_or_id: str | UUID, *, lock: bool = False) -> RowMapping:
    return find(connection, table, name_or_id, what="schedule", name="name", lock=lock)


def _read(row: RowMapping) -> ScheduleRow:
    values = {name: value for name, value in row.items() if name not in ("leased_until", "late_ms")}
    values["late"] = None if row["late_ms"] is None else timedelta(milliseconds=row["late_ms"])
    values["missed"] = row["missed"] or 0
    values["selector"] = Selector.parse(row["selector"])
    values["spec"] = None if row["spec"] is None else RolloutSpec.parse(row["spec"])
    return ScheduleRow(**values)
