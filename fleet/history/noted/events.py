"""Events are written in the transaction that does what they tell of, so that none is lost, and none tells of what was not.

Each has the id of the fact that it tells of: written twice, it is one.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, select

from fleet.history.noted.followed import each_is_followed
from fleet.history.sql.upsert import insert_new
from fleet.history.tables.notify import channels, events
from fleet.notify.events import EventType, of_rollout, of_update
from fleet.notify.rule import Rule
from fleet.notify.severity import Severity


def tell_updates(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Tell of rows of ``updates``: of what went wrong always, of what went well where somebody wants each."""
    kinds = {result: kind for result in {row["result"] for row in rows} if (kind := of_update(result)) is not None}
    applied = [result for result, (type, _) in kinds.items() if type is EventType.APPLIED]
    if applied and not _each_is_wanted(connection, max(row["recorded_at"] for row in rows)):
        kinds = {result: kind for result, kind in kinds.items() if result not in applied}
    told = [(row, kinds[row["result"]]) for row in rows if row["result"] in kinds] if kinds else []
    tell(
        connection,
        (
            event(id=row["id"], kind=kind, at=row["recorded_at"], host_id=row["host_id"], rollout_id=row["rollout_id"])
            for row, kind in told
        ),
    )


def tell_rollout(connection: Connection, row: Mapping[str, Any]) -> None:
    """Tell of a row of ``rollout_events``, where it is one that people are told of."""
    if (kind := of_rollout(row["kind"], row["details"])) is not None:
        made = event(id=row["id"], kind=kind, at=row["at"], rollout_id=row["rollout_id"], details=row["details"])
        tell(connection, [made])


def event(
    *,
    id: UUID,
    kind: tuple[EventType, Severity],
    at: datetime,
    subject: str = "",
    host_id: UUID | None = None,
    rollout_id: UUID | None = None,
    details: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a row of ``events``."""
    type, severity = kind
    return {
        "id": id,
        "type": type,
        "severity": severity,
        "subject": subject,
        "host_id": host_id,
        "rollout_id": rollout_id,
        "details": dict(details or {}),
        "at": at,
        "taken_at": None,
        "told": None,
    }


def tell(connection: Connection, rows: Iterable[dict[str, Any]]) -> None:
    """Write rows of ``events``; one that is there already stays as it is."""
    insert_new(connection, events, list(rows), ("id",))


def _each_is_wanted(connection: Connection, now: datetime) -> bool:
    """Tell whether a channel wants each update that went well, or somebody who followed lately."""
    rows = connection.execute(select(channels.c.events, channels.c.severity))
    wanted = any(Rule(events=row.events, severity=row.severity).each_update for row in rows)
    return wanted or each_is_followed(connection, now)
