"""Plans that were made, and how one becomes a rollout."""

from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, RowMapping, insert, select, update

from fleet.errors import Refused
from fleet.history.commands.moves import event
from fleet.history.noted import audit
from fleet.history.rollouts.numbers import next_number
from fleet.history.rollouts.planned_rows import write_hosts
from fleet.history.rollouts.staleness import Homes, homes_of, what_moved
from fleet.history.rollouts.superseding import supersede
from fleet.history.sql.database import Database
from fleet.history.sql.lookup import find
from fleet.history.sql.uncollected import uncollected
from fleet.history.tables.facts import rollout_events
from fleet.history.tables.rollouts import plans as table
from fleet.history.tables.rollouts import rollouts, waves
from fleet.ids import new_id
from fleet.rollouts.plan import PlanDocument
from fleet.rollouts.selector import Selector
from fleet.rollouts.spec import RolloutSpec
from fleet.rollouts.states import RolloutState, WaveState
from fleet.rollouts.waves import cut_columns

HOLDS_FOR = timedelta(hours=24)
"""How long a plan may be applied."""

_NAMED = 5
"""How many of the things that moved are named."""

_DEFAULT = RolloutSpec()


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRow:
    """One plan."""

    id: UUID
    selector: Selector
    document: PlanDocument
    asked_by: str
    created_at: datetime
    expires_at: datetime
    rollout_id: UUID | None
    """The rollout that it became; None: it was not applied."""


def save_plan(db: Database, *, selector: Selector, document: PlanDocument, by: str) -> PlanRow:
    """Keep a plan, so that it may be applied within 24 hours."""
    with db.writing() as connection:
        now = db.moment(connection)
        row = PlanRow(
            id=new_id(),
            selector=selector,
            document=document,
            asked_by=by,
            created_at=now,
            expires_at=now + HOLDS_FOR,
            rollout_id=None,
        )
        values: dict[str, Any] = {each.name: getattr(row, each.name) for each in fields(row)}
        values |= {"selector": selector.document(), "document": document.document()}
        connection.execute(insert(table).values(values))
        return row


def plan(db: Database, id: UUID | str) -> PlanRow:
    """Return the plan with this id, or with these last 8 hex digits of its id; raises NotFound."""
    with db.reading() as connection:
        return _read(find(connection, table, id, what="plan"))


def apply_plan(
    db: Database, id: UUID | str, *, by: str, door: str, spec: RolloutSpec | None = None, reason: str = ""
) -> UUID:
    """Make the plan a rollout and return its id; raises NotFound, and Refused where the plan is stale, naming what moved.

    Stale means: a container's id or image changed, a host's policy changed, a tag has another digest, or 24 h passed.
    """
    with uncollected(), db.writing() as connection:
        row = _read(find(connection, table, id, what="plan", lock=True))
        now = db.moment(connection)
        homes = homes_of(connection, row.document.hosts.ids)
        _check(connection, row, homes, now)
        rollout_id = new_id()
        number = next_number(connection)
        connection.execute(
            insert(rollouts).values(
                id=rollout_id,
                number=number,
                state=RolloutState.PLANNED,
                spec=(spec or _DEFAULT).document(),
                holds=[],
                asked_by=by,
                plan_id=row.id,
                reason=reason,
                created_at=now,
                back=row.document.hosts.pins[0].back,
            )
        )
        _waves(connection, rollout_id, row, spec or _DEFAULT, homes, now)
        supersede(connection, rollout_id, now)
        connection.execute(update(table).where(table.c.id == row.id).values(rollout_id=rollout_id))
        details = {"plan": row.id.hex, "rollout": rollout_id.hex, "containers": row.document.containers}
        connection.execute(insert(rollout_events), [event("planned", rollout_id, now, details={**details, "by": by})])
        audit.note(connection, now, by=by, door=door, action="plan apply", subject=f"#{number}", details=details)
        return rollout_id


def _check(connection: Connection, row: PlanRow, homes: Homes, now: datetime) -> None:
    if row.rollout_id is not None:
        number = connection.execute(select(rollouts.c.number).where(rollouts.c.id == row.rollout_id)).scalar()
        raise Refused(f"cannot apply this plan: it was applied already, as rollout #{number}")
    if now >= row.expires_at:
        raise Refused("cannot apply this plan: it is older than 24 hours; make a new one with: fleet plan")
    if not row.document.containers:
        raise Refused("cannot apply this plan: there is nothing to update in it")
    if moved := what_moved(connection, row.document, homes):
        named = "; ".join(moved[:_NAMED]) + (f"; and {len(moved) - _NAMED} more" if len(moved) > _NAMED else "")
        raise Refused(f"cannot apply this plan: {named}; make a new one with: fleet plan")


def _waves(connection: Connection, id: UUID, plan: PlanRow, spec: RolloutSpec, homes: Homes, now: datetime) -> None:
    """Write the waves, and the place of each host in them: the plan's id is the seed."""
    planned = plan.document.hosts.touched()
    labels = [homes[host_id].labels for host_id in planned.ids]
    cut = cut_columns(spec, [bytes.fromhex(host_id) for host_id in planned.ids], planned.names, labels, plan.id)
    pending = {"rollout_id": id, "state": WaveState.PENDING}
    rows = [{**pending, "number": number, "hosts": len(taken)} for number, taken in enumerate(cut)]
    connection.execute(insert(waves), rows)
    write_hosts(connection, id, planned, cut, now)


def _read(row: RowMapping) -> PlanRow:
    selector, document = Selector.parse(row["selector"]), PlanDocument.parse(row["document"])
    return PlanRow(**{**row, "selector": selector, "document": document})
