"""Some of the hosts of a large fleet at a time, and how many there are of which kind."""

from collections import Counter
from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, case, func, select

from fleet.history.among import among
from fleet.history.database import Database
from fleet.history.hosts import HostRow
from fleet.history.inventory_tables import hosts as table
from fleet.history.stops import takes
from fleet.rollouts.selector import Selector
from fleet.rollouts.silence import SILENT_AFTER

_PRESENT = table.c.removed_at.is_(None)


def host_page(db: Database, selector: Selector, *, after: str, limit: int) -> tuple[list[HostRow], int]:
    """Return *limit* hosts that *selector* takes, by name from *after* on, and how many it takes in all.

    It is asked of the database, which knows no ``[...]``: a selector with such a glob is Selector's own to tell.
    """
    taken = (_PRESENT, takes(selector))
    query = select(table).where(*taken, table.c.name > after).order_by(table.c.name).limit(limit)
    with db.reading() as connection:
        rows = [HostRow(**row) for row in connection.execute(query).mappings()]
        return rows, connection.execute(select(func.count()).select_from(table).where(*taken)).scalar_one()


def host_states(db: Database) -> Counter[str]:
    """Return how many hosts are ``new``, never heard of, ``online`` or ``silent``."""
    with db.reading() as connection:
        state = state_at(db.moment(connection)).label("state")
        rows = connection.execute(select(state, func.count()).where(_PRESENT).group_by(state))
        return Counter({row[0]: row[1] for row in rows})


def state_at(now: datetime) -> ColumnElement[str]:
    """Return the state of a host at *now*, in a word."""
    seen = table.c.last_seen_at
    return case((seen.is_(None), "new"), (seen <= now - SILENT_AFTER, "silent"), else_="online")


def are_there(db: Database, names: Collection[str]) -> set[str]:
    """Return which of these are names of hosts."""
    with db.reading() as connection:
        return set(connection.execute(select(table.c.name).where(_PRESENT, table.c.name.in_(names))).scalars())


def labels_of(db: Database, ids: Collection[UUID]) -> dict[UUID, dict[str, str]]:
    """Return the labels of these hosts."""
    if not ids:
        return {}
    with db.reading() as connection:
        rows = connection.execute(select(table.c.id, table.c.labels).where(among(connection, table.c.id, ids)))
        return {row.id: row.labels for row in rows}
