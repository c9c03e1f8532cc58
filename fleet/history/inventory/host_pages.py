"""Some of the hosts of a large fleet at a time, and how many there are of which kind."""

from collections import Counter
from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Select, case, false, func, select

from fleet.history.inventory.containers import literal_names
from fleet.history.inventory.hosts import NAME, HostRow
from fleet.history.rules.stops import takes
from fleet.history.sql.among import among
from fleet.history.sql.database import Database
from fleet.history.tables.inventory import hosts as table
from fleet.rollouts.selector import Selector, loose
from fleet.rollouts.silence import SILENT_AFTER

_PRESENT = table.c.removed_at.is_(None)


def host_page(db: Database, selector: Selector, *, after: str, limit: int) -> list[HostRow]:
    """Return *limit* hosts that *selector* takes, by name from *after* on."""
    with db.reading() as connection:
        if _is_told_by_sql(selector):
            query = _taken(selector, table).where(table.c.name > after).order_by(table.c.name).limit(limit)
            return [HostRow(**row) for row in connection.execute(query).mappings()]
        found: list[HostRow] = []
        for some in taken_from(connection, selector, after, limit, behind=True):
            ids = [id for id, _ in some][: limit - len(found)]
            query = select(table).where(among(connection, table.c.id, ids)).order_by(table.c.name)
            found += [HostRow(**row) for row in connection.execute(query).mappings()]
            if len(found) == limit:
                break
        return found


def count_hosts(db: Database, selector: Selector) -> int:
    """Return how many hosts *selector* takes."""
    with db.reading() as connection:
        if _is_told_by_sql(selector):
            count: int = connection.execute(_taken(selector, func.count()).select_from(table)).scalar_one()
            return count
        rows = connection.execute(_taken(selector, table.c.name, table.c.labels))
        return sum(selector.takes_host(name, labels) for name, labels in rows)


def taken_from(
    connection: Connection, selector: Selector, begin: str, some: int, *, behind: bool = False
) -> Iterator[list[tuple[UUID, str]]]:
    """Yield id and name of the hosts that *selector* takes, by name, from the one called *begin* on or *behind* it, *some* at a
    time and ever more.

    Where few of their containers are looked for, all are looked at; where many are, no database is to think that it may as
    well begin with all.
    """
    query = _taken(selector, table.c.id, table.c.name, table.c.labels).order_by(table.c.name)
    exact = _is_told_by_sql(selector)
    where = table.c.name > begin if behind else table.c.name >= begin
    while True:
        rows = connection.execute(query.where(where).limit(some)).all()
        taken = [(id, name) for id, name, labels in rows if exact or selector.takes_host(name, labels)]
        if taken:
            yield taken
        if len(rows) < some:
            return
        some, where = 2 * some, table.c.name > rows[-1].name


def _taken(selector: Selector, *what: Any) -> Select[Any]:
    """Select of the hosts that *selector* takes; where SQL cannot tell, also of some others."""
    if not all(map(NAME.fullmatch, selector.labels)):
        return select(*what).where(false())  # no label is called so, and no database should be asked for it
    known = Selector(
        hosts=tuple(map(loose, selector.hosts)), labels={key: loose(glob) for key, glob in selector.labels.items()}
    )
    query = select(*what).where(_PRESENT, takes(known))
    names = literal_names(selector.hosts)
    return query.where(table.c.name.in_(names)) if names else query


def _is_told_by_sql(selector: Selector) -> bool:
    """Tell whether SQL knows all of its globs."""
    return not any("[" in glob for glob in (*selector.hosts, *selector.labels.values()))


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
