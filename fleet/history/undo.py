"""The way back of a rollout: a rollout of its own that brings what was updated to the digest that it ran before."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, RowMapping, insert, select

from fleet.history.fact_tables import rollout_events, updates
from fleet.history.inventory_tables import containers, hosts
from fleet.history.moves import event, pieces
from fleet.history.numbers import next_number
from fleet.history.rollout_tables import rollout_hosts, rollouts, waves
from fleet.history.wave_hosts import host_row
from fleet.ids import new_id
from fleet.rollouts.spec import RolloutSpec
from fleet.rollouts.states import BAD, HostState, RolloutState, WaveState
from fleet.updates.outcome import Result

Targets = list[dict[str, Any]]


def way_back_spec(spec: RolloutSpec) -> RolloutSpec:
    """Return the spec of a way back: as many at once and as patient, one wave, no gate, and no window to wait for.

    What is broken is put right at once; freezes of the fleet hold all the same.
    """
    return RolloutSpec(max_parallel=spec.max_parallel, rate_per_minute=spec.rate_per_minute, tries=spec.tries)


def begin_way_back(connection: Connection, row: RowMapping, now: datetime, *, by: str, reason: str = "") -> UUID:
    """Make the rollout that undoes the one in *row*, and return its id; where there is nothing to undo it is over."""
    found = undone(connection, row["id"])
    id, number = new_id(), next_number(connection)
    over = not found
    connection.execute(
        insert(rollouts).values(
            id=id,
            number=number,
            state=RolloutState.COMPLETED if over else RolloutState.PLANNED,
            spec=way_back_spec(RolloutSpec.parse(row["spec"])).document(),
            holds=[],
            asked_by=by,
            plan_id=None,
            reason=reason or f"the way back of rollout #{row['number']}",
            created_at=now,
            ended_at=now if over else None,
            way_back_of=row["id"],
        )
    )
    state = WaveState.PASSED if over else WaveState.PENDING
    connection.execute(insert(waves).values(rollout_id=id, number=0, state=state))
    rows = [host_row(id, host, 0, place, targets, now) for place, (host, targets) in enumerate(found.items())]
    if rows:
        connection.execute(insert(rollout_hosts), rows)
    details = {"rollout": id.hex, "way_back_of": row["id"].hex, "by": by}
    connection.execute(insert(rollout_events), [event("planned", id, now, details=details)])
    return id


def undone(connection: Connection, rollout_id: UUID) -> dict[UUID, Targets]:
    """Return, by host in the rollout's own order, what it updated and can be brought back.

    Only what it really updated, whose old digest is known, and which nobody has replaced since.
    """
    c = rollout_hosts.c
    touched = (c.rollout_id == rollout_id, c.state.in_((HostState.SUCCEEDED, *BAD)))
    there = select(c.host_id, c.targets).join(hosts, hosts.c.id == c.host_id).where(hosts.c.removed_at.is_(None))
    rows = connection.execute(there.where(*touched).order_by(c.wave, c.position)).all()
    updated = _updated(connection, rollout_id)
    running = _running(connection, [row.host_id for row in rows])
    found = {}
    for row in rows:
        targets = [
            _back(t, updated.get((row.host_id, t["container"])), running.get(row.host_id, {})) for t in row.targets
        ]
        if kept := [target for target in targets if target is not None]:
            found[row.host_id] = kept
    return found


def _back(target: Mapping[str, Any], update: Any, running: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the target that brings one container back; None where there is no way."""
    if update is None or not update.old_digest:
        return None
    now = running.get(target["container"])
    if now is None or now.id == target["container_id"]:
        # The host may not have told of the new container yet: what it said of the update stands.
        container_id, image_id = update.new_container_id, update.new_image_id
    elif now.id == update.new_container_id or update.new_digest in now.digests:
        container_id, image_id = now.id, now.image_id
    else:
        return None
    if not container_id:
        return None
    return {
        **target,
        "container_id": container_id,
        "image_id": image_id,
        "digest": update.old_digest,
        "old_digest": update.new_digest,
    }


def _updated(connection: Connection, rollout_id: UUID) -> dict[tuple[UUID, str], Any]:
    c = updates.c
    query = select(c.host_id, c.container, c.old_digest, c.new_digest, c.new_container_id, c.new_image_id)
    query = query.where(c.rollout_id == rollout_id, c.result == Result.UPDATED).order_by(c.id)
    return {(row.host_id, row.container): row for row in connection.execute(query)}


def _running(connection: Connection, ids: Iterable[UUID]) -> dict[UUID, dict[str, Any]]:
    c = containers.c
    found: dict[UUID, dict[str, Any]] = {}
    for some in pieces(sorted(ids)):
        query = select(c.host_id, c.name, c.id, c.image_id, c.digests).where(c.host_id.in_(some))
        for row in connection.execute(query):
            found.setdefault(row.host_id, {})[row.name] = row
    return found
