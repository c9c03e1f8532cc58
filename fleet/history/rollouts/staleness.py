"""What has moved since a plan was made: a plan whose world moved is refused."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import Any
from uuid import UUID

from sqlalchemy import Column, ColumnElement, Connection, Select, select, true

from fleet.history.rollouts.alike import Home, hex_of, list_of, written
from fleet.history.rules.policies import Holding
from fleet.history.sql.among import among
from fleet.history.tables.inventory import containers, hosts, tags
from fleet.rollouts.plan import Pin, PlanDocument, PlannedHosts

Homes = Mapping[str, Home]
"""The hosts that were not removed, by their ids in hex, each with what it has in common with others."""

_MANY = 5000
"""Of more hosts than so many all of a table is read: that takes less than to find each of them."""

_Container = str
"""Of a container its host's id in hex, its id, the id of the image that it runs, and its name, with a space between them.

One text is read and compared in half the time of four.
"""


def homes_of(connection: Connection, ids: Sequence[str]) -> Homes:
    """Return those of the hosts with these ids (in hex) that were not removed; maybe others too."""
    labels = written(hosts.c.labels)
    query = select(labels, list_of(connection, hex_of(connection, hosts.c.id))).group_by(labels)
    query = query.where(hosts.c.removed_at.is_(None), _of(connection, hosts.c.id, ids))
    holding = Holding(connection)
    found: dict[str, Home] = {}
    for text, listed in connection.execute(query):
        read, together = json.loads(text), json.loads(listed)
        own = [id for id in together if holding.has_own(id)]
        if len(own) < len(together):
            other = next(id for id in together if not holding.has_own(id))
            found |= dict.fromkeys(together, Home(labels=read, policy=holding.of(UUID(other), read)))
        found |= {id: Home(labels=read, policy=holding.of(UUID(id), read)) for id in own}
    return found


def what_moved(connection: Connection, document: PlanDocument, homes: Homes) -> list[str]:
    """Return, for people, what is not any more as *document* saw it, where the hosts are *homes* now."""
    return [*_moved_hosts(connection, document.hosts, homes), *_moved_tags(connection, document.hosts.pins)]


def _moved_hosts(connection: Connection, planned: PlannedHosts, homes: Homes) -> Iterator[str]:
    for id, name, place in zip(planned.ids, planned.names, planned.shape_of, strict=True):
        home = homes.get(id)
        if home is None:
            yield f"the host {name} was removed"
        elif home.policy.hash != planned.shapes[place].policy:
            yield f"the policy of {name} changed"
    here = connection.execute(_containers(connection, planned.ids)).scalars().all()
    gone = set(_planned(planned)).difference(here)
    if gone:
        yield from _moved_containers(planned, gone, here, homes)


def _planned(planned: PlannedHosts) -> list[_Container]:
    pins = [[f"{planned.pins[at].image_id} {planned.pins[at].container}" for at in s.pins] for s in planned.shapes]
    ids = iter(planned.container_ids)
    return [
        f"{host_id} {id} {pin}"
        for host_id, place in zip(planned.ids, planned.shape_of, strict=True)
        for pin, id in zip(pins[place], ids, strict=False)
    ]


def _moved_containers(
    planned: PlannedHosts, gone: Set[_Container], here: Iterable[_Container], homes: Homes
) -> Iterator[str]:
    now = {(host_id, name): id for host_id, id, _, name in (each.split(" ", 3) for each in here)}
    hosts = dict(zip(planned.ids, planned.names, strict=True))
    for each in _planned(planned):
        host_id, id, _, name = each.split(" ", 3)
        if each in gone and host_id in homes:
            yield f"{name} on {hosts[host_id]} {_now(now.get((host_id, name)), id)}"


def _now(found: str | None, planned: str) -> str:
    """Say what became of a container, where the one of its name has the id *found* now."""
    if found is None:
        return "is gone"
    return "runs another image now" if found == planned else "is another container now"


def _containers(connection: Connection, ids: Sequence[str]) -> Select[Any]:
    c = containers.c
    together = hex_of(connection, c.host_id) + " " + c.id + " " + c.image_id + " " + c.name
    return select(together).where(_of(connection, c.host_id, ids))


def _of(connection: Connection, column: Column[Any], ids: Sequence[str]) -> ColumnElement[bool]:
    return among(connection, column, map(UUID, ids)) if len(ids) <= _MANY else true()


def _moved_tags(connection: Connection, pins: Sequence[Pin]) -> Iterator[str]:
    pinned = {pin.image: pin.digest for pin in pins if not pin.back}
    query = select(tags.c.image, tags.c.digest).where(tags.c.image.in_(list(pinned)), tags.c.digest != "")
    for image, digest in connection.execute(query.order_by(tags.c.image)):
        if digest != pinned[image]:
            yield f"{image} has another digest now"
