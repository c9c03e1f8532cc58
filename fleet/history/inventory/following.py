"""How containers stand to the tags that they follow, found by the database: counts, and pages of those that are not current.

As ``fleet.controller.standing.stand`` says it, which decides about what is shown.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, FromClause, and_, case, func, or_, select, tuple_

from fleet.history.inventory.container_moves import ContainerKind, kinds
from fleet.history.inventory.container_pages import Look
from fleet.history.inventory.containers import EVERYTHING, IN_ORDER, PRESENT, ROW, THERE, ContainerRow, named, read
from fleet.history.inventory.host_pages import taken_from
from fleet.history.sql.among import among
from fleet.history.sql.database import Database
from fleet.history.tables.inventory import container_digests, containers, hosts, tags
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


def standings(connection: Connection, found: Iterable[ContainerKind]) -> dict[ContainerKind, str]:
    """Return how the containers of each kind stand, as :func:`standing` says it."""
    known = {row.image: row for row in connection.execute(select(tags.c.image, tags.c.digest, tags.c.reason))}

    def stand(kind: ContainerKind) -> str:
        tag = known.get(kind.image)
        if tag is None or not tag.digest:
            return UNKNOWN
        if tag.digest in kind.digests:
            return UNKNOWN if tag.reason else CURRENT
        return OUTDATED if kind.digests and not kind.local_build else UNKNOWN

    return {kind: stand(kind) for kind in found}


def stale_page(db: Database, after: Place | None, limit: int) -> list[tuple[Place, ContainerRow]]:
    """Return *limit* containers that are not current to their tag, those that are outdated first, each by host and name."""
    found: list[tuple[Place, ContainerRow]] = []
    with db.reading() as connection:
        for status in STALE[STALE.index(after.status) if after else 0 :]:
            begins = after if after and after.status == status else None
            for some in taken_from(connection, EVERYTHING, begins.host if begins else "", _FIRST_HOSTS):
                ids = [id for id, _ in some]
                here = (among(connection, hosts.c.id, ids), PRESENT, FOLLOWING, standing() == status)
                query = select(*ROW).select_from(tagged()).where(*here).order_by(*IN_ORDER).limit(limit - len(found))
                if begins:
                    query = query.where(tuple_(*IN_ORDER) > tuple_(begins.host, begins.container, begins.id))
                for _, row in map(read, connection.execute(query)):
                    found.append((Place(status=status, host=row.host, container=row.name, id=row.id), row))
                if len(found) == limit:
                    return found
    return found


def stale(selector: Selector) -> Look:
    """Return the look for all that *selector* takes of those that are not current to their tag."""
    return Look(selector=selector, among=tagged(), where=(FOLLOWING, standing() != CURRENT))


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """How many containers there are beside those that are not current."""

    current: Counter[str]
    """By the image that they follow."""
    pinned: int
    """How many follow no tag."""


def counted(db: Database, selector: Selector) -> Counted:
    """Count those that *selector* takes."""
    with db.reading() as connection:
        if selector == EVERYTHING:
            counts = kinds(connection)
            stand = standings(connection, counts)
            return _counted(
                (kind.image, count) for kind, count in counts.items() if not kind.image or stand[kind] == CURRENT
            )
        return _counted(_some_counted(connection, selector))


def _counted(counts: Iterable[tuple[str, int]]) -> Counted:
    found: Counter[str] = Counter()
    for image, count in counts:
        found[image] += count
    return Counted(pinned=found.pop("", 0), current=found)


def _some_counted(connection: Connection, selector: Selector) -> Iterator[tuple[str, int]]:
    """Yield images with how many containers follow them and are current; the empty one with those that follow none."""
    c = containers.c
    here = (PRESENT, or_(~FOLLOWING, standing() == CURRENT))
    for some in taken_from(connection, selector, "", _FIRST_HOSTS):
        these = among(connection, hosts.c.id, [id for id, _ in some])
        query = (
            select(c.name, c.image, func.count()).select_from(tagged()).where(*here, these).group_by(c.name, c.image)
        )
        for name, image, count in connection.execute(named(query, selector)):
            if selector.takes_container(name, image):
                yield image, count


def checked_at(connection: Connection, found: Iterable[ContainerKind]) -> datetime | None:
    """Return when the registries were last asked for the tag of those followed that was asked for longest ago."""
    images = {kind.image for kind in found}
    query = select(tags.c.image, tags.c.resolved_at).where(tags.c.digest != "")
    return min((at for image, at in connection.execute(query) if at and image in images), default=None)
