"""What a plan pinned for the hosts of its rollout: once for all hosts of one shape, since most of a fleet are alike.

The row of such a host holds the ids of its containers, and where the rest stands.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, select

from fleet.history.tables.rollouts import rollout_hosts, rollout_shapes

Target = dict[str, Any]
"""A container with what was pinned for it."""
Targets = tuple[Target, ...]
Pins = tuple[Mapping[str, Any], ...]
"""Targets without the ids of their containers."""

_MANY = 500
"""Of more shapes than so many all of a rollout's are read."""


def pins_of(connection: Connection, rollout_id: UUID, numbers: Collection[int]) -> dict[int, Pins]:
    """Return these shapes of a rollout."""
    if not numbers:
        return {}
    c = rollout_shapes.c
    query = select(c.number, c.pins).where(c.rollout_id == rollout_id)
    if len(numbers) <= _MANY:
        query = query.where(c.number.in_(numbers))
    return dict(map(tuple, connection.execute(query)))


def whole(pins: Mapping[int, Pins], shape: int | None, written: Iterable[Any]) -> Targets:
    """Return the targets of a host, of which its row holds its *shape* and what is *written* as its targets."""
    if shape is None:
        return tuple(written)
    return tuple({"container_id": id, **pin} for id, pin in zip(written, pins[shape], strict=True))


def all_targets(connection: Connection, rollout_id: UUID, *conditions: Any) -> dict[UUID, Targets]:
    """Return by host, in the rollout's order, the targets of those of its hosts that *conditions* take."""
    c = rollout_hosts.c
    query = select(c.host_id, c.shape, c.targets).where(c.rollout_id == rollout_id, *conditions)
    rows = connection.execute(query.order_by(c.wave, c.position)).all()
    pins = pins_of(connection, rollout_id, {row.shape for row in rows if row.shape is not None})
    return {row.host_id: whole(pins, row.shape, row.targets) for row in rows}


def pinned_images(connection: Connection, rollout_id: UUID) -> frozenset[tuple[str, str]]:
    """Return the images and digests that a rollout pins."""
    c = rollout_hosts.c
    shapes = connection.execute(
        select(rollout_shapes.c.pins).where(rollout_shapes.c.rollout_id == rollout_id)
    ).scalars()
    alone = connection.execute(select(c.targets).where(c.rollout_id == rollout_id, c.shape.is_(None))).scalars()
    return frozenset((pin["image"], pin["digest"]) for pins in (*shapes, *alone) for pin in pins)


FIRST_HOSTS = 100
"""Of how many hosts of a wave it is read what it brings them: of most fleets all are alike."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """What a wave brings."""

    images: tuple[tuple[str, str], ...]
    """With the digests."""
    hosts: int | None = None
    """Of how many of its hosts; None: of all."""


def brought(connection: Connection, rollout_id: UUID, wave: int) -> Brought:
    """Return what a wave brings; however many hosts it has, it takes no longer than for some."""
    c = rollout_hosts.c
    query = select(c.shape, c.targets).where(c.rollout_id == rollout_id, c.wave == wave)
    rows = connection.execute(query.order_by(c.state, c.position).limit(FIRST_HOSTS + 1)).all()
    pins = pins_of(connection, rollout_id, {row.shape for row in rows if row.shape is not None})
    found = {
        (pin["image"], pin["digest"])
        for row in rows[:FIRST_HOSTS]
        for pin in (row.targets if row.shape is None else pins[row.shape])
    }
    return Brought(images=tuple(sorted(found)), hosts=FIRST_HOSTS if len(rows) > FIRST_HOSTS else None)
