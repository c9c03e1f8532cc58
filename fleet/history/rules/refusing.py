"""Hosts that nothing is sent to, because it is not certain which machine would do it."""

from collections.abc import Collection
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, and_, exists, func, literal, or_, select

from fleet.errors import Refused
from fleet.history.sql.among import among
from fleet.history.sql.columns import UtcTime
from fleet.history.sql.database import Database
from fleet.history.tables.inventory import hosts


def refused() -> ColumnElement[bool]:
    """Return the condition, over ``hosts``, that nothing is sent to a host.

    Two agents speak as it; or it says that it has the engine of another, and then the one that told of it first has it.
    """
    return or_(hosts.c.rivals_at.is_not(None), exists().where(*_ELDER_TWIN).correlate(hosts))


def refusals(connection: Connection, ids: Collection[UUID] | None = None) -> dict[UUID, str]:
    """Return which of these hosts, or of all, nothing is sent to: why, and what to do about it, for people."""
    elder = select(_ELDER.c.name).where(*_ELDER_TWIN).order_by(_ELDER_SINCE, _ELDER.c.id).limit(1).correlate(hosts)
    query = select(hosts.c.id, hosts.c.name, hosts.c.rivals_at, elder.scalar_subquery().label("elder"))
    query = query.where(refused(), hosts.c.removed_at.is_(None))
    if ids is not None:
        query = query.where(among(connection, hosts.c.id, ids))
    return {
        row.id: _rivals(row.name) if row.rivals_at else _twin(row.name, row.elder) for row in connection.execute(query)
    }


def refused_hosts(db: Database, ids: Collection[UUID] | None = None) -> dict[UUID, str]:
    """Return :func:`refusals` of these hosts, or of all."""
    with db.reading() as connection:
        return refusals(connection, ids)


def check_sendable(db: Database, host_id: UUID) -> None:
    """Raise Refused where nothing is sent to the host: an order for it alone would only wait."""
    with db.reading() as connection:
        if why := refusals(connection, [host_id]).get(host_id):
            raise Refused(why)


def _rivals(name: str) -> str:
    return (
        f"cannot send anything to {name}: two agents speak as it; stop the one that is too many, then let the other join"
        f" again: fleet host rejoin {name}"
    )


def _twin(name: str, elder: str) -> str:
    return (
        f"cannot send anything to {name}: {elder}, which told of it earlier, has the same engine; remove one of them:"
        f" fleet host rm {name}, or give a cloned machine an engine id of its own"
    )


_ELDER = hosts.alias("elder")
# Who was added first has no right to an engine that it names later: a host that was taken over would stop any other by naming its
# engine. Ids are in the order of time, for those that told of it before that was kept, or at one moment.
_EVER = literal(datetime(1970, 1, 1, tzinfo=UTC), UtcTime())
_SINCE, _ELDER_SINCE = (func.coalesce(of.c.engine_since, _EVER) for of in (hosts, _ELDER))
_ELDER_TWIN = (
    hosts.c.engine_id != "",
    _ELDER.c.engine_id == hosts.c.engine_id,
    or_(_ELDER_SINCE < _SINCE, and_(_ELDER_SINCE == _SINCE, _ELDER.c.id < hosts.c.id)),
    _ELDER.c.removed_at.is_(None),
)
