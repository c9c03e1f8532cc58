"""What a rollout updated and can be brought back: by what came of its updates, and what runs now."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, RowMapping, exists, select

from fleet.history.commands.pinned import all_targets
from fleet.history.sql.among import among
from fleet.history.sql.plain import digest
from fleet.history.tables.facts import rollout_events, updates
from fleet.history.tables.inventory import containers, hosts
from fleet.history.tables.rollouts import rollout_hosts, rollouts
from fleet.rollouts.states import LIVE, WAITING, HostState
from fleet.updates.outcome import Result

Targets = list[dict[str, Any]]

_APART_MS = 60_000
"""How far the clocks of two centres may be apart, by which the ids of events are made."""


def undone(connection: Connection, rollout_id: UUID, only: Collection[UUID] | None = None) -> dict[UUID, Targets]:
    """Return, by host in the rollout's own order, what it updated and can be brought back; of *only* those hosts, if given.

    Only what it really updated, whose old digest is known, and which nobody has replaced since. However the host's turn
    ended: the outcome of a try that ran out of time may come when its host was withdrawn, or tried again.
    """
    c = rollout_hosts.c
    there = exists().where(hosts.c.id == c.host_id, hosts.c.removed_at.is_(None))
    touched = [c.state.not_in((*WAITING, *LIVE)), there]
    if only is not None:
        touched.append(among(connection, c.host_id, only))
    pinned = all_targets(connection, rollout_id, *touched)
    updated = _updated(connection, rollout_id)
    pinned = {id: targets for id, targets in pinned.items() if any((id, t["container"]) in updated for t in targets)}
    running = _running(connection, pinned)
    found = {}
    for id, targets in pinned.items():
        back = [_back(t, updated.get((id, t["container"])), running.get(id, {})) for t in targets]
        if kept := [target for target in back if target is not None]:
            found[id] = kept
    return found


def left(connection: Connection, rollout_id: UUID, only: Collection[UUID] | None = None) -> dict[UUID, Targets]:
    """Return what of a rollout can be brought back and no way back of it has brought back; of *only* those hosts, if given."""
    c = rollout_hosts.c
    ways = select(rollouts.c.id).where(rollouts.c.way_back_of == rollout_id)
    done = select(c.host_id).where(c.rollout_id.in_(ways), c.state == HostState.SUCCEEDED)
    back = set(connection.execute(done).scalars())
    return {id: targets for id, targets in undone(connection, rollout_id, only).items() if id not in back}


def late_to(connection: Connection, row: RowMapping) -> dict[UUID, Targets]:
    """Return what the rollout that the one in *row* undoes updated, as is known since the way back was made.

    Looked for among its events since then: what has ended tells of little, and of nothing but that.
    """
    c, mine = rollout_events.c, rollout_hosts.c
    since = UUID(int=row["id"].int - (_APART_MS << 80))
    told = select(c.host_id).where(
        c.rollout_id == row["way_back_of"], c.id > since, c.at >= row["created_at"], c.host_id.is_not(None)
    )
    late = set(connection.execute(told).scalars())
    if not late:
        return {}
    there = select(mine.host_id).where(mine.rollout_id == row["id"], among(connection, mine.host_id, late))
    late -= set(connection.execute(there).scalars())
    return left(connection, row["way_back_of"], late) if late else {}


def _back(target: Mapping[str, Any], update: Any, running: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the target that brings one container back; None where there is no way."""
    # Earlier releases kept whatever a host called a digest, and one that is none must stop nobody else's way back.
    if update is None or not digest(update.old_digest):
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
    query = select(c.host_id, c.name, c.id, c.image_id, c.digests).where(among(connection, c.host_id, ids))
    for row in connection.execute(query):
        found.setdefault(row.host_id, {})[row.name] = row
    return found
