"""Hosts that a rollout takes, but that were not there yet when it was planned, or of which it was not known."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, RowMapping, exists, select

from fleet.history.rollouts.undone import Targets, late_to
from fleet.history.sql.among import among
from fleet.history.tables.inventory import containers, hosts
from fleet.history.tables.rollouts import plans, rollout_hosts
from fleet.rollouts.plan import PlanDocument
from fleet.rollouts.selector import Selector


def late_hosts(connection: Connection, row: RowMapping) -> dict[UUID, Targets]:
    """Return the late hosts of the rollout in *row*, each with what the rollout's pins mean for it.

    Without the plan, which is pruned after a month, there are none. To a way back, those are late of which it is known
    only now that they were updated.
    """
    if row["way_back_of"] is not None:
        return late_to(connection, row)
    new = _new_hosts(connection, row)
    if not new:
        return {}
    query = select(plans.c.selector, plans.c.document).where(plans.c.id == row["plan_id"])
    plan = connection.execute(query).one_or_none()
    if plan is None:
        return {}
    selector = Selector.parse(plan.selector)
    pins = {pin.image: pin.digest for pin in PlanDocument.parse(plan.document).hosts.pins}
    taken = {host.id for host in new if selector.takes_host(host.name, host.labels)}
    return _targets(connection, taken, selector, pins)


def _new_hosts(connection: Connection, row: RowMapping) -> list[Any]:
    mine = exists().where(rollout_hosts.c.rollout_id == row["id"], rollout_hosts.c.host_id == hosts.c.id)
    query = select(hosts.c.id, hosts.c.name, hosts.c.labels)
    return list(
        connection.execute(query.where(hosts.c.created_at > row["created_at"], hosts.c.removed_at.is_(None), ~mine))
    )


def _targets(
    connection: Connection, ids: set[UUID], selector: Selector, pins: Mapping[str, str]
) -> dict[UUID, Targets]:
    query = select(containers).where(among(connection, containers.c.host_id, ids), containers.c.image.in_(list(pins)))
    found: dict[UUID, Targets] = {}
    for each in connection.execute(query.order_by(containers.c.host_id, containers.c.name)).mappings():
        digest = pins[each["image"]]
        if digest in each["digests"] or not selector.takes_container(each["name"], each["image"]):
            continue
        found.setdefault(each["host_id"], []).append(
            {
                "container_id": each["id"],
                "container": each["name"],
                "image_id": each["image_id"],
                "reference": each["reference"],
                "image": each["image"],
                "digest": digest,
                "old_digest": each["digests"][0] if each["digests"] else "",
            }
        )
    return found
