"""A newer rollout of the same images to the same hosts takes over from an older one that goes in waves.

Whatever has waves or none: where a newer one has been, no older one goes (the 18th invariant of rollouts).
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, case, insert, select, update

from fleet.history.commands.moves import event
from fleet.history.commands.pinned import pins_of
from fleet.history.sql.among import among
from fleet.history.tables.facts import rollout_events, updates
from fleet.history.tables.rollouts import rollout_hosts, rollouts
from fleet.rollouts.spec import RolloutSpec
from fleet.rollouts.states import FailureClass, HostState
from fleet.updates.outcome import Result

ANY = ""
"""Stands for whichever containers a rollout names."""


def supersede(connection: Connection, id: UUID, now: datetime) -> None:
    """Note at each active rollout with gates that the new one *id* is of an image that it too brings to a host.

    One without gates goes its way as before: it waits for nobody, and whoever comes later wins.
    """
    query = select(rollouts.c.id, rollouts.c.spec).where(rollouts.c.ended_at.is_(None), rollouts.c.id != id)
    for older in connection.execute(query.where(rollouts.c.way_back_of.is_(None)).order_by(rollouts.c.id)).all():
        if RolloutSpec.parse(older.spec).gated and _overlap(connection, older.id, id):
            connection.execute(update(rollouts).where(rollouts.c.id == older.id).values(superseded_by=id))
            details = {"by_rollout": id.hex}
            connection.execute(insert(rollout_events), [event("superseding planned", older.id, now, details=details)])


def overtaken(connection: Connection, rollout_id: UUID, host_ids: Collection[UUID]) -> dict[UUID, dict[str, int]]:
    """Return, by host and container, the number of the newer rollout that has been there: an older one would bring it back.

    A try whose time was over after the go may have come to anything: it stands for ANY of its host's containers. A way back
    leaves the way free again, and goes its own whatever was there.
    """
    c = rollouts.c
    mine = connection.execute(select(c.number, c.way_back_of).where(c.id == rollout_id)).one()
    newer = connection.execute(select(c.id, c.number, c.way_back_of).where(c.number > mine.number)).all()
    if mine.way_back_of is not None or not newer:
        return {}
    found: dict[UUID, dict[str, int]] = defaultdict(dict)
    back = {row.id for row in newer if row.way_back_of is not None}
    numbers = {row.id: row.number for row in newer}
    for host_id, container, id in _touched(connection, host_ids, numbers):
        if id in back:
            found[host_id].pop(container, None)
        else:
            found[host_id][container] = numbers[id]
    return found


def _touched(
    connection: Connection, host_ids: Collection[UUID], rollout_ids: Collection[UUID]
) -> Iterable[tuple[UUID, str, UUID]]:
    """Yield host, container and rollout of what these rollouts did, or may have done, on these hosts; oldest first."""
    h, u = rollout_hosts.c, updates.c
    lost = select(h.host_id, h.rollout_id).where(h.failure == FailureClass.TIMEOUT.value, h.state == HostState.FAILED)
    mine = (among(connection, h.host_id, host_ids), among(connection, h.rollout_id, rollout_ids))
    for host_id, id in connection.execute(lost.where(*mine)):
        yield host_id, ANY, id
    done = select(u.host_id, u.container, u.rollout_id).where(u.result == Result.UPDATED).order_by(u.id)
    mine = (among(connection, u.host_id, host_ids), among(connection, u.rollout_id, rollout_ids))
    yield from map(tuple, connection.execute(done.where(*mine)))


def _overlap(connection: Connection, older: UUID, newer: UUID) -> bool:
    """Tell whether the two bring one image to one container: by what is pinned for hosts of the same shapes at once."""
    old, new = rollout_hosts.alias("old"), rollout_hosts.alias("new")
    both = (old.c.rollout_id == older, new.c.rollout_id == newer, new.c.host_id == old.c.host_id)
    # Targets are asked for where they are all that is known of a host.
    was, shall = (case((c.shape.is_(None), c.targets)) for c in (old.c, new.c))
    pairs = connection.execute(select(old.c.shape, was, new.c.shape, shall).where(*both).distinct()).all()
    shapes_were = pins_of(connection, older, {shape for shape, *_ in pairs if shape is not None})
    shapes_shall = pins_of(connection, newer, {shape for *_, shape, _ in pairs if shape is not None})
    return any(
        _images(shapes_were.get(shape_was, was)) & _images(shapes_shall.get(shape_shall, shall))
        for shape_was, was, shape_shall, shall in pairs
    )


def _images(targets: Iterable[Mapping[str, Any]]) -> set[tuple[str, str]]:
    return {(target["container"], target["image"]) for target in targets}
