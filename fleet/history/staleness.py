"""What has moved since a plan was made: a plan whose world moved is refused."""

from collections.abc import Iterator, Mapping
from uuid import UUID

from sqlalchemy import Connection, select

from fleet.history.among import among
from fleet.history.inventory_tables import containers, hosts, tags
from fleet.history.policies import effective_for
from fleet.rollouts.plan import PlanDocument, PlannedContainer, PlannedHost


def what_moved(connection: Connection, document: PlanDocument) -> list[str]:
    """Return, for people, what is not any more as *document* saw it."""
    return [*_moved_hosts(connection, document), *_moved_tags(connection, document)]


def _moved_hosts(connection: Connection, document: PlanDocument) -> Iterator[str]:
    ids = [host.host_id for host in document.hosts]
    present = select(hosts.c.id).where(among(connection, hosts.c.id, ids), hosts.c.removed_at.is_(None))
    there = set(connection.execute(present).scalars())
    policies = effective_for(connection, ids)
    query = select(containers.c.host_id, containers.c.id, containers.c.name, containers.c.image_id)
    seen: dict[UUID, dict[str, tuple[str, str]]] = {}
    for row in connection.execute(query.where(among(connection, containers.c.host_id, ids))):
        seen.setdefault(row.host_id, {})[row.name] = (row.id, row.image_id)
    for host in document.hosts:
        if host.host_id not in there:
            yield f"the host {host.host} was removed"
            continue
        if policies[host.host_id].hash != host.policy:
            yield f"the policy of {host.host} changed"
        yield from _moved_containers(host, seen.get(host.host_id, {}))


def _moved_containers(host: PlannedHost, seen: Mapping[str, tuple[str, str]]) -> Iterator[str]:
    for each in host.containers:
        found = seen.get(each.container)
        if found is None:
            yield f"{each.container} on {host.host} is gone"
        elif found[0] != each.container_id:
            yield f"{each.container} on {host.host} is another container now"
        elif found[1] != each.image_id:
            yield f"{each.container} on {host.host} runs another image now"


def _moved_tags(connection: Connection, document: PlanDocument) -> Iterator[str]:
    pinned: dict[str, PlannedContainer] = {
        each.image: each for host in document.hosts for each in host.containers if not each.back
    }
    query = select(tags.c.image, tags.c.digest).where(tags.c.image.in_(list(pinned)), tags.c.digest != "")
    for image, digest in connection.execute(query.order_by(tags.c.image)):
        if digest != pinned[image].digest:
            yield f"{image} has another digest now"
