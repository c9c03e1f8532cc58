"""What people do to rollouts: hold, release, abort."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, RowMapping, insert, update

from fleet.errors import Refused
from fleet.history import audit
from fleet.history.database import Database
from fleet.history.fact_tables import rollout_events
from fleet.history.lookup import find
from fleet.history.moves import event
from fleet.history.rollout_tables import rollouts as table
from fleet.history.sending import call_off_now
from fleet.rollouts.states import Hold, RolloutState


def hold_rollout(db: Database, rollout_id: UUID, *, by: str, door: str, reason: str = "") -> None:
    """Pause a rollout: nothing new is sent, and what touched no container yet is called off; raises NotFound, Refused."""
    with db.writing() as connection:
        row, now = _open(connection, rollout_id, db)
        holds = {*row["holds"], Hold.USER.value}
        _change(connection, row, {"holds": sorted(holds)}, "held", now, by=by, door=door, reason=reason)
        call_off_now(connection, rollout_id, now)


def release_rollout(db: Database, rollout_id: UUID, *, by: str, door: str) -> None:
    """Take away the hold of a person; raises NotFound, Refused."""
    with db.writing() as connection:
        row, now = _open(connection, rollout_id, db)
        holds = {*row["holds"]} - {Hold.USER.value}
        _change(connection, row, {"holds": sorted(holds)}, "released", now, by=by, door=door)


def abort_rollout(db: Database, rollout_id: UUID, *, by: str, door: str, reason: str = "") -> None:
    """Stop a rollout for good: what touches containers already may end; raises NotFound, Refused."""
    with db.writing() as connection:
        row, now = _open(connection, rollout_id, db)
        values = {"state": RolloutState.ABORTING}
        _change(connection, row, values, "aborted", now, by=by, door=door, reason=reason)
        call_off_now(connection, rollout_id, now)


def _open(connection: Connection, rollout_id: UUID, db: Database) -> tuple[RowMapping, datetime]:
    """Return the rollout, locked, and the time; raises NotFound, and Refused where it has ended."""
    row = find(connection, table, rollout_id, what="rollout", lock=True)
    if row["state"].ended:
        raise Refused(f"cannot change rollout #{row['number']}: it is {row['state']}")
    return row, db.moment(connection)


def _change(
    connection: Connection,
    row: RowMapping,
    values: dict[str, Any],
    kind: str,
    now: datetime,
    *,
    by: str,
    door: str,
    reason: str = "",
) -> None:
    connection.execute(update(table).where(table.c.id == row["id"]).values(values))
    details = {"by": by, **({"reason": reason} if reason else {})}
    connection.execute(insert(rollout_events), [event(kind, row["id"], now, details=details)])
    number = f"#{row['number']}"
    audit.note(connection, now, by=by, door=door, action=f"rollout {kind}", subject=number, details=details)
