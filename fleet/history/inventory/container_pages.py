"""Some of the containers of a large fleet at a time, by host and name: a page reads so many, and no more."""

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, FromClause, Select, and_, or_, select, tuple_

from fleet.errors import BadInput
from fleet.history.inventory.containers import IN_ORDER, PRESENT, ROW, THERE, ContainerRow, named, read, takes
from fleet.history.inventory.host_pages import taken_from
from fleet.history.sql.among import among
from fleet.history.sql.database import Database
from fleet.history.sql.json_text import json_of, of_json
from fleet.history.tables.inventory import containers, hosts
from fleet.rollouts.selector import Selector

LOOKED_AT = 5000
"""How many containers one page looks at: it may hold fewer than were wanted, or none, and still have a next one."""
HOSTS_LOOKED_AT = 2000
"""The same of hosts: on most of them may be none of those that are looked for."""
_OF_HOST = 25
"""So many containers are thought to be on a host where it is guessed how many hosts fill a page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a page begins: behind this container."""

    host: str
    container: str = ""
    id: str = ""
    """Empty: behind all containers of the host."""

    def __str__(self) -> str:
        """Return the place as a page's cursor."""
        return json_of([self.host, self.container, self.id])

    @classmethod
    def read(cls, cursor: str) -> "Place | None":
        """Return the place that *cursor* is, None for an empty one; raise BadInput for what is none."""
        if not cursor:
            return None
        try:
            host, container, id = map(str, of_json(cursor))
            if "\0" in host + container + id:
                raise ValueError(cursor)
        except (ValueError, TypeError, RecursionError):
            raise BadInput(f"cannot use {cursor[:80]!r} as a cursor; take `next` of the page before") from None
        return cls(host=host, container=container, id=id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Which containers are looked for."""

    selector: Selector
    among: FromClause = THERE
    where: tuple[ColumnElement[bool], ...] = ()


def container_page(
    db: Database, look: Look, after: Place | None, limit: int
) -> tuple[list[ContainerRow], Place | None]:
    """Return *limit* containers of those that are looked for, and where the page after them begins; None: these are the last."""
    found: list[ContainerRow] = []
    looked_at = hosts_looked_at = 0
    with db.reading() as connection:
        for rows, hosts_done, place in _chunks(connection, look, after, limit):
            for labels, row in rows:
                if takes(look.selector, labels, row):
                    if len(found) == limit:
                        return found, _behind(found[-1])
                    found.append(row)
            looked_at, hosts_looked_at = looked_at + len(rows), hosts_looked_at + hosts_done
            if looked_at >= LOOKED_AT or hosts_looked_at >= HOSTS_LOOKED_AT:
                return found, place
    return found, None


def _chunks(
    connection: Connection, look: Look, after: Place | None, limit: int
) -> Iterator[tuple[list[tuple[dict[str, str], ContainerRow]], int, Place]]:
    """Yield containers with the labels of their hosts, some at a time, each time with how many hosts were done with, and where the
    next begin.
    """
    begin, behind = (after.host, not after.id) if after else ("", False)
    for some in taken_from(connection, look.selector, begin, limit // _OF_HOST + 1, behind=behind):
        ids, here, more = [id for id, _ in some], after, True
        while more:
            rows = [read(row) for row in connection.execute(_query(connection, look, ids, here).limit(limit + 1))]
            more = len(rows) > limit
            here = _behind(rows[-1][1]) if more else Place(host=some[-1][1])
            yield rows, 0 if more else len(ids), here


def _query(connection: Connection, look: Look, ids: list[UUID], after: Place | None) -> Select[tuple[object, ...]]:
    here = (among(connection, hosts.c.id, ids), PRESENT, *look.where)
    query = named(select(*ROW).select_from(look.among).where(*here).order_by(*IN_ORDER), look.selector)
    if after is None:
        return query
    if not after.id:
        return query.where(hosts.c.name > after.host)
    behind = tuple_(containers.c.name, containers.c.id) > tuple_(after.container, after.id)
    return query.where(or_(hosts.c.name > after.host, and_(hosts.c.name == after.host, behind)))


def _behind(row: ContainerRow) -> Place:
    return Place(host=row.host, container=row.name, id=row.id)
