"""What tells whether a host, or what runs on it, is to be told of anew: little of each, since all are looked at every few seconds."""

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select

from fleet.history.commands.ahead_mark import MARK
from fleet.history.rollouts.alike import hex_of, written
from fleet.history.rollouts.waiting_hosts import silent
from fleet.history.sql.among import among
from fleet.history.sql.database import Database
from fleet.history.sql.json_text import of_json
from fleet.history.tables.facts import commands
from fleet.history.tables.inventory import containers, hosts
from fleet.rollouts.states import CommandState


@dataclass(frozen=True, slots=True)
class HostMark:
    """What differs where a host has to be told of anew."""

    name: str
    labels_text: str
    """Its labels, as the database writes them."""
    engine_version: str
    snapshot_hash: str
    silent: bool

    @property
    def labels(self) -> dict[str, str]:
        """Its labels."""
        found: dict[str, str] = of_json(self.labels_text)
        return found


def host_marks(db: Database) -> dict[str, HostMark]:
    """Return the mark of every host that was not removed, by its id in hex."""
    h = hosts.c
    with db.reading() as connection:
        away = silent(db.moment(connection)).label("away")
        told = (h.name, written(h.labels), h.engine_version, h.snapshot_hash, away)
        query = select(hex_of(connection, h.id), *told).where(h.removed_at.is_(None))
        rows = connection.execute(query).all()
    return {row[0]: HostMark(row.name, row[2], row.engine_version, row.snapshot_hash, bool(row.away)) for row in rows}


def removed_hosts(db: Database) -> list[UUID]:
    """Return every host that was removed."""
    with db.reading() as connection:
        return list(connection.execute(select(hosts.c.id).where(hosts.c.removed_at.is_not(None))).scalars())


def followers(db: Database, images: Collection[str]) -> set[str]:
    """Return the hosts on which a container follows one of *images*, by their ids in hex."""
    if not images:
        return set()
    with db.reading() as connection:
        host = hex_of(connection, containers.c.host_id)
        query = select(host).where(containers.c.image.in_(sorted(images))).distinct()
        return set(connection.execute(query).scalars())


class UnderWay:
    """The containers that hosts were told to update and have not yet; an order says the same for ever, so it is read once."""

    def __init__(self) -> None:
        """Know of none."""
        self._names: dict[UUID, tuple[str, ...]] = {}

    def look(self, db: Database) -> dict[str, frozenset[str]]:
        """Return them, by the host's id in hex."""
        c = commands.c
        # The first is what the index of open commands is of.
        open_ = (c.ended_at.is_(None), c.deadline.is_not(None), c.state != CommandState.PENDING)
        ahead = c.order[MARK].as_boolean().is_not(None)
        with db.reading() as connection:
            found = connection.execute(select(c.id, c.host_id).where(*open_, ~ahead)).all()
            new = {row.id for row in found} - self._names.keys()
            if new:
                orders = connection.execute(select(c.id, c.order).where(among(connection, c.id, new)))
                self._names |= {id: tuple(each["container"] for each in order["targets"]) for id, order in orders}
        self._names = {row.id: self._names[row.id] for row in found if row.id in self._names}
        names: dict[str, frozenset[str]] = {}
        for row in found:
            host = row.host_id.hex
            names[host] = names.get(host, frozenset()) | set(self._names.get(row.id, ()))
        return names
