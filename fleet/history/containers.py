"""What runs on the hosts, by their latest snapshots."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select

from fleet.history.database import Database
from fleet.history.inventory_tables import containers as table
from fleet.history.inventory_tables import hosts
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
    query = (
        select(hosts.c.labels, hosts.c.name.label("host"), *_COLUMNS)
        .join(hosts, hosts.c.id == table.c.host_id)
        .where(hosts.c.removed_at.is_(None))
        .order_by(hosts.c.name, table.c.name, table.c.id)
    )
    if names := literal_names(selector.hosts):
        query = query.where(hosts.c.name.in_(names))
    if names := literal_names(selector.containers):
        query = query.where(table.c.name.in_(names))
    with db.reading() as connection:
        rows = connection.execute(query)
        # A mapping of each row makes its names anew, which costs as much as reading it.
        found = ((labels, ContainerRow(**dict(zip(_NAMES, row, strict=True)))) for labels, *row in rows)
        return [
            row
            for labels, row in found
            if selector.takes_host(row.host, labels) and selector.takes_container(row.name, row.image)
        ]


_COLUMNS = tuple(column for column in table.c if column.name != "snapshot")
_NAMES = ("host", *(column.name for column in _COLUMNS))


def literal_names(globs: tuple[str, ...]) -> list[str]:
    """Return the names, where none of them is a glob: then the database need not return every row."""
    return [] if any(is_glob(glob) or "\0" in glob for glob in globs) else list(globs)
