"""How containers stand to the tags that they follow, found by the database: counts, and pages of those that are not current.

As ``fleet.controller.standing.stand`` says it, which decides about what is shown.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, FromClause, and_, case, exists, func, select, tuple_

from fleet.history.among import among
from fleet.history.containers import IN_ORDER, PRESENT, ROW, THERE, ContainerRow, named, read, takes
from fleet.history.database import Database
from fleet.history.inventory_tables import container_digests, containers, hosts, tags
from fleet.rollouts.selector import Selector

CURRENT, OUTDATED, UNKNOWN = "current", "outdated", "unknown"
STALE = (OUTDATED, UNKNOWN)
"""In the order in which pages show them."""


FOLLOWING = containers.c.image != ""
"""Of a container that follows a tag: who is pinned to a digest, or was started by an image id, has none that could move on."""
_FIRST_HOSTS = 20
"""So many hosts are looked at first: a page of 500 is full with 25 outdated containers on each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a page begins: after this container."""

    status: str
    host: str
    container: str
    id: str


def tagged() -> FromClause:
    """Return the containers of the fleet, each with its host and the tag that it follows, where that was checked."""
    return THERE.outerjoin(tags, tags.c.image == containers.c.image)


def standing() -> ColumnElement[str]:
    """Return how a container of :func:`tagged` stands."""
    c, t, d = containers.c, tags.c, container_digests.c
    has_digest = select(d.digest).where(d.host_id == c.host_id, d.container_id == c.id)
    runs_it = has_digest.where(d.digest == t.digest).exists()
    known = and_(has_digest.exists(), c.local_build.is_(False))
    return case(
        (func.coalesce(t.digest, "") == "", UNKNOWN),
        (runs_it, case((t.reason == "", CURRENT), else_=UNKNOWN)),
        (known, OUTDATED),
        else_=UNKNOWN,
    )


def stale_page(db: Database, after: Place | None, limit: int) -> list[tuple[Place, ContainerRow]]:
    """Return *limit* containers that are not current to their tag, those that are outdated first, each by host and name."""
    found: list[tuple[Place, ContainerRow]] = []
    with db.reading() as connection:
        for status in STALE[STALE.index(after.status) if after else 0 :]:
            begins = after if after and after.status == status else None
            for ids in _hosts_from(connection, begins.host if begins else ""):
                here = (among(connection, hosts.c.id, ids), PRESENT, FOLLOWING, standing() == status)
                query = select(*ROW).select_from(tagged()).where(*here).order_by(*IN_ORDER).limit(limit - len(found))
                if begins:
                    query = query.where(tuple_(*IN_ORDER) > tuple_(begins.host, begins.container, begins.id))
                for _, row in map(read, connection.execute(query)):
                    found.append((Place(status=status, host=row.host, container=row.name, id=row.id), row))
                if len(found) == limit:
                    return found
    return found


def _hosts_from(connection: Connection, name: str) -> Iterator[list[UUID]]:
    """Yield the ids of the hosts from *name* on, by name, some at a time and ever more.

    Where few are outdated all are looked at; where many are, no database is to think that it may as well begin with all.
    """
    some = _FIRST_HOSTS
    begin = hosts.c.name >= name
    while True:
        query = select(hosts.c.id, hosts.c.name).where(PRESENT, begin).order_by(hosts.c.name).limit(some)
        rows = connection.execute(query).all()
        if rows:
            yield [row.id for row in rows]
        if len(rows) < some:
            return
        some, begin = 2 * some, hosts.c.name > rows[-1].name


def pinned(db: Database, selector: Selector) -> int:
    """Return how many that *selector* takes follow no tag."""
    c = containers.c
    query = select(hosts.c.name, hosts.c.labels, c.name, c.image).select_from(THERE).where(PRESENT, ~FOLLOWING)
    with db.reading() as connection:
        return sum(
            selector.takes_host(host, labels) and selector.takes_container(name, image)
            for host, labels, name, image in connection.execute(named(query, selector))
        )


def stale(db: Database, selector: Selector) -> list[ContainerRow]:
    """Return all that *selector* takes of those that are not current to their tag, by host and name."""
    query = select(*ROW).select_from(tagged()).where(PRESENT, FOLLOWING, standing() != CURRENT).order_by(*IN_ORDER)
    with db.reading() as connection:
        found = map(read, connection.execute(named(query, selector)))
        return [row for labels, row in found if takes(selector, labels, row)]


def current(db: Database, selector: Selector) -> Counter[str]:
    """Return how many that *selector* takes are current, by the image that they follow."""
    c = containers.c
    what = (hosts.c.name, hosts.c.labels, c.name, c.image)
    here = (PRESENT, standing() == CURRENT)
    with db.reading() as connection:
        if selector == Selector():
            count = select(c.image, func.count()).select_from(tagged()).where(*here).group_by(c.image)
            return Counter({row[0]: row[1] for row in connection.execute(count)})
        rows = connection.execute(named(select(*what).select_from(tagged()).where(*here), selector))
        return Counter(
            image
            for host, labels, name, image in rows
            if selector.takes_host(host, labels) and selector.takes_container(name, image)
        )


def checked_at(db: Database) -> datetime | None:
    """Return when the registries were last asked for the tag of those followed that was asked for longest ago."""
    followed = exists().where(containers.c.image == tags.c.image, containers.c.host_id == hosts.c.id, PRESENT)
    query = select(func.min(tags.c.resolved_at)).where(tags.c.digest != "", followed)
    with db.reading() as connection:
        found: datetime | None = connection.execute(query).scalar()
        return found
