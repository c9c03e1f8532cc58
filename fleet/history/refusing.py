"""Hosts that nothing is sent to, because it is not certain which machine would do it."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, exists, or_, select

from fleet.history.inventory_tables import hosts

RIVALS = "two agents speak as this host"
TWINS = "a host that was added earlier has the same engine"


def refused() -> ColumnElement[bool]:
    """Return the condition, over ``hosts``, that nothing is sent to a host.

    Two agents speak as it; or it says that it has the engine of another, and then the one that was added first has it.
    """
    return or_(hosts.c.rivals_at.is_not(None), _has_elder_twin())


def refusals(connection: Connection, ids: Collection[UUID]) -> dict[UUID, str]:
    """Return which of these hosts nothing is sent to, and why."""
    query = select(hosts.c.id, hosts.c.rivals_at).where(hosts.c.id.in_(ids), refused())
    return {row.id: RIVALS if row.rivals_at else TWINS for row in connection.execute(query)}


def _has_elder_twin() -> ColumnElement[bool]:
    elder = hosts.alias("elder")
    # Ids are in the order of time.
    twin = (elder.c.engine_id == hosts.c.engine_id, elder.c.id < hosts.c.id, elder.c.removed_at.is_(None))
    return exists().where(hosts.c.engine_id != "", *twin).correlate(hosts)
