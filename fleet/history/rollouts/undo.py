"""The way back of a rollout: a rollout of its own that brings what was updated to the digest that it ran before."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, RowMapping, insert

from fleet.history.commands.moves import event
from fleet.history.rollouts.numbers import next_number
from fleet.history.rollouts.undone import left
from fleet.history.rollouts.wave_hosts import host_row
from fleet.history.tables.facts import rollout_events
from fleet.history.tables.rollouts import rollout_hosts, rollouts, waves
from fleet.ids import new_id
from fleet.rollouts.spec import LateJoiners, RolloutSpec
from fleet.rollouts.states import RolloutState, WaveState
from fleet.rollouts.way_back import way_back_spec


def begin_way_back(
    connection: Connection,
    row: RowMapping,
    now: datetime,
    *,
    by: str,
    reason: str = "",
    only: Collection[UUID] | None = None,
) -> UUID:
    """Make the rollout that undoes the one in *row*, on *only* those hosts if given, and return its id.

    Where nothing is left to undo meanwhile it is over.
    """
    found = left(connection, row["id"], only)
    id, number = new_id(), next_number(connection)
    over = not found
    connection.execute(
        insert(rollouts).values(
            id=id,
            number=number,
            state=RolloutState.COMPLETED if over else RolloutState.PLANNED,
            spec=_spec(row, whole=only is None).document(),
            holds=[],
            asked_by=by,
            plan_id=None,
            reason=reason or f"the way back of rollout #{row['number']}",
            created_at=now,
            ended_at=now if over else None,
            way_back_of=row["id"],
            back=True,
        )
    )
    state = WaveState.PASSED if over else WaveState.PENDING
    connection.execute(insert(waves).values(rollout_id=id, number=0, state=state, hosts=len(found)))
    rows = [host_row(id, host, 0, place, targets, now) for place, (host, targets) in enumerate(found.items())]
    if rows:
        connection.execute(insert(rollout_hosts), rows)
    details = {"rollout": id.hex, "way_back_of": row["id"].hex, "by": by}
    connection.execute(insert(rollout_events), [event("planned", id, now, details=details)])
    return id


def _spec(row: RowMapping, *, whole: bool) -> RolloutSpec:
    """Return the spec of the way back of the rollout in *row*; hosts of whose update is heard only later join a *whole* one."""
    spec = way_back_spec(RolloutSpec.parse(row["spec"]))
    return replace(spec, late_joiners=LateJoiners.CONVERGE) if whole else spec


def is_whole(spec: Mapping[str, Any]) -> bool:
    """Tell whether the way back with this spec was to bring back every host, and not some that were named."""
    return RolloutSpec.parse(spec).late_joiners is LateJoiners.CONVERGE
