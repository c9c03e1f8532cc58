"""How containers stand to the tags that they follow, found by the database: counts, and pages of those that are not current.

As ``fleet.controller.standing.stand`` says it, which decides about what is shown.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, FromClause, and_, case, exists, func, select, tuple_

from fleet.history.containers import IN_ORDER, PRESENT, ROW, THERE, ContainerRow, named, read, takes
from fleet.history.database import Database
from fleet.history.inventory_tables import container_digests, containers, hosts, tags
from fleet.rollouts.selector import Selector

CURRENT, OUTDATED, UNKNOWN = "current", "outdated", "unknown"
STALE = (OUTDATED, UNKNOWN)
"""In the order in which pages show them."""


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
    """Return *limit* containers that are not current, those that are outdated first, each by host and name."""
    found: list[tuple[Place, ContainerRow]] = []
    with db.reading() as connection:
        for status in STALE[STALE.index(after.status) if after else 0 :]:
            query = select(*ROW).select_from(tagged()).where(PRESENT, standing() == status)
            if after and after.status == status:
                # By the name alone too, which has an index.
                query = query.where(hosts.c.name >= after.host)
                query = query.where(tuple_(*IN_ORDER) > tuple_(after.host, after.container, after.id))
            rows = connection.execute(query.order_by(*IN_ORDER).limit(limit - len(found)))
            for _, row in map(read, rows):
                found.append((Place(status=status, host=row.host, container=row.name, id=row.id), row))
            if len(found) == limit:
                break
    return found


def stale(db: Database, selector: Selector) -> list[ContainerRow]:
    """Return all that *selector* takes of those that are not current, by host and name."""
    query = select(*ROW).select_from(tagged()).where(PRESENT, standing() != CURRENT).order_by(*IN_ORDER)
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
