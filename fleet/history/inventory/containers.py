"""What runs on the hosts, by their latest snapshots."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, select

from fleet.history.sql.among import among
from fleet.history.sql.database import Database
from fleet.history.tables.inventory import containers as table
from fleet.history.tables.inventory import hosts
from fleet.rollouts.selector import Selector, is_glob


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerLike:
    """All of a container but where it runs and its id: what many hosts have in common."""

    name: str
    reference: str
    """As the user wrote it."""
    image: str
    """The canonical registry/repository:tag that it follows; empty where it follows none."""
    image_id: str
    digests: tuple[str, ...]
    platform: str
    state: str
    health: str
    labels: dict[str, str]
    local_build: bool
    own: tuple[str, ...] | None = None
    """The paths of what its user set among what an image may say; None: not told."""
    keeps: tuple[str, ...] | None = None
    """The paths in it at which it may write to what outlives it; None: not told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerRow(ContainerLike):
    """One container of one host."""

    host_id: UUID
    host: str
    """The host's name."""
    id: str
    first_seen_at: datetime
    seen_at: datetime


EVERYTHING = Selector()


def containers(db: Database, selector: Selector = EVERYTHING) -> list[ContainerRow]:
    """Return the containers that *selector* takes, by host and name."""
    query = named(select(*ROW).select_from(THERE).where(PRESENT).order_by(*IN_ORDER), selector)
    with db.reading() as connection:
        found = map(read, connection.execute(query))
        return [row for labels, row in found if takes(selector, labels, row)]


def of_hosts(db: Database, host_ids: Collection[UUID]) -> list[ContainerRow]:
    """Return all containers of these hosts, by host and name."""
    if not host_ids:
        return []
    with db.reading() as connection:
        query = select(*ROW).select_from(THERE).where(PRESENT, among(connection, hosts.c.id, host_ids))
        return [row for _, row in map(read, connection.execute(query.order_by(*IN_ORDER)))]


def named(query: Select[Any], selector: Selector) -> Select[Any]:
    """Return *query* over hosts and containers, bound to those that *selector* names without a glob."""
    if names := literal_names(selector.hosts):
        query = query.where(hosts.c.name.in_(names))
    if names := literal_names(selector.containers):
        query = query.where(table.c.name.in_(names))
    return query


def read(row: Row[Any]) -> tuple[dict[str, str], ContainerRow]:
    """Return the labels of the host, and the container, of a row of ROW."""
    labels, values = row[0], row[1:]
    # A mapping of each row makes its names anew, which costs as much as reading it.
    return labels, ContainerRow(**dict(zip(_NAMES, values, strict=True)))


def takes(selector: Selector, labels: dict[str, str], row: ContainerRow) -> bool:
    """Tell whether *selector* takes a container on a host with these labels."""
    return selector.takes_host(row.host, labels) and selector.takes_container(row.name, row.image)


THERE = table.join(hosts, hosts.c.id == table.c.host_id)
PRESENT = hosts.c.removed_at.is_(None)
IN_ORDER = (hosts.c.name, table.c.name, table.c.id)
_COLUMNS = tuple(column for column in table.c if column.name != "snapshot")
_NAMES = ("host", *(column.name for column in _COLUMNS))
ROW = (hosts.c.labels, hosts.c.name.label("host"), *_COLUMNS)
"""What :func:`read` reads."""


def literal_names(globs: tuple[str, ...]) -> list[str]:
    """Return the names, where none of them is a glob: then the database need not return every row."""
    return [] if any(is_glob(glob) or "\0" in glob for glob in globs) else list(globs)
