"""A newer rollout of the same images to the same hosts takes over from an older one that goes in waves."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, case, insert, select, update

from fleet.history.fact_tables import rollout_events
from fleet.history.moves import event
from fleet.history.pinned import pins_of
from fleet.history.rollout_tables import rollout_hosts, rollouts
from fleet.rollouts.spec import RolloutSpec


def supersede(connection: Connection, id: UUID, now: datetime) -> None:
    """Note at each active rollout with gates that the new one *id* is of an image that it too brings to a host.

    One without gates goes its way as before: it waits for nobody, and whoever comes later wins.
    """
    query = select(rollouts.c.id, rollouts.c.spec).where(rollouts.c.ended_at.is_(None), rollouts.c.id != id)
    for older in connection.execute(query.where(rollouts.c.way_back_of.is_(None)).order_by(rollouts.c.id)).all():
        gated = any(wave.gate is not None for wave in RolloutSpec.parse(older.spec).waves)
        if gated and _overlap(connection, older.id, id):
            connection.execute(update(rollouts).where(rollouts.c.id == older.id).values(superseded_by=id))
            details = {"by_rollout": id.hex}
            connection.execute(insert(rollout_events), [event("superseding planned", older.id, now, details=details)])


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
