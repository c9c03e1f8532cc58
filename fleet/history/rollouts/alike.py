"""What runs on the hosts, with what is alike said once: of 100,000 hosts few differ in more than their ids and names.

Texts come as the database holds them, and are read once for all rows that have the same.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Integer,
    Row,
    Select,
    Text,
    cast,
    func,
    select,
    type_coerce,
)

from fleet.history.inventory.containers import ContainerLike, literal_names
from fleet.history.rollouts.waiting_hosts import silent
from fleet.history.rules.policies import EffectivePolicy, Holding
from fleet.history.sql.database import Database
from fleet.history.tables.inventory import containers, hosts
from fleet.rollouts.selector import Selector


class Placed(NamedTuple):
    """One container: where it runs, and where the rest of it stands. A tuple, since there may be 100,000."""

    host: str
    """The host's name."""
    host_id: str
    """In hex."""
    name: str
    id: str
    like: int
    """The place in ``likes`` of all that it has in common with others."""
    home: int
    """The place in ``homes`` of what its host has in common with others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """What hosts have in common."""

    labels: Mapping[str, str]
    policy: EffectivePolicy
    """What holds for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alike:
    """Containers of the fleet."""

    placed: list[Placed]
    """By the names of host and container."""
    likes: list[ContainerLike]
    homes: list[Home]
    away: Mapping[str, datetime | None]
    """The silent hosts by their ids in hex, and when they were last heard of; None: never."""


def alike(db: Database, selector: Selector, now: datetime) -> Alike:
    """Return the containers that *selector* takes, with what holds for their hosts, and which of those are silent at *now*."""
    with db.reading() as connection:
        reader = _Reader(Holding(connection), selector)
        if db.dialect == "postgresql":
            # It takes each row for a group of its own, and would rather sort them all.
            connection.exec_driver_sql("SET LOCAL enable_sort = off")
        # Groups, and not rows: the database finds what is alike in a fraction of the time.
        for group in connection.execute(_query(connection, selector)):
            reader.read(group)
        away = dict(map(tuple, connection.execute(_away(connection, now)).all()))
    return Alike(placed=sorted(reader.placed), likes=reader.likes, homes=reader.homes, away=away)


def hex_of(connection: Connection, id: Column[Any]) -> ColumnElement[str]:
    """Return an id as text, in hex: to make an object of each takes longer than to read it."""
    if connection.dialect.name == "postgresql":
        return func.encode(func.uuid_send(id), "hex", type_=Text())
    return type_coerce(id, Text())


def written(column: Column[Any]) -> ColumnElement[str]:
    """Return a JSON column as its text."""
    return cast(column, Text())


class _Reader:
    def __init__(self, holding: Holding, selector: Selector) -> None:
        self._holding, self._selector = holding, selector
        self.placed: list[Placed] = []
        self.likes: list[ContainerLike] = []
        self.homes: list[Home] = []
        self._likes: dict[tuple[Any, ...], int | None] = {}
        self._homes: dict[tuple[str, str], int] = {}

    def read(self, group: Row[Any]) -> None:
        """Take what runs on hosts with the same labels, and is alike."""
        labels, *lists = group[:_FIRST_COMMON]
        common = group[_FIRST_COMMON:]
        like = self._likes[common] if common in self._likes else self._like(common)
        if like is None:
            return
        name, wanted = common[0], self._host_filter()
        for host_id, host, id in zip(*(json.loads(each) for each in lists), strict=True):
            key = (labels, host_id if self._holding.has_own(host_id) else "")
            home = self._homes[key] if key in self._homes else self._home(key, host_id)
            if wanted is None or wanted(host, self.homes[home].labels):
                self.placed.append(Placed(host, host_id, name, id, like, home))

    def _host_filter(self) -> Callable[[str, Mapping[str, str]], bool] | None:
        return self._selector.takes_host if self._selector.hosts or self._selector.labels else None

    def _like(self, common: tuple[Any, ...]) -> int | None:
        """Return the place of what these values mean; None where the selector does not take it."""
        values = dict(zip(_COMMON, common, strict=True))
        found = None
        if self._selector.takes_container(values["name"], values["image"]):
            found = len(self.likes)
            self.likes.append(_read(values))
        self._likes[common] = found
        return found

    def _home(self, key: tuple[str, str], host_id: str) -> int:
        labels: dict[str, str] = json.loads(key[0])
        self._homes[key] = len(self.homes)
        self.homes.append(Home(labels=labels, policy=self._holding.of(UUID(host_id), labels)))
        return self._homes[key]


_COMMON = (
    "name",
    "reference",
    "image",
    "image_id",
    "digests",
    "platform",
    "state",
    "health",
    "labels",
    "local_build",
    "own",
    "keeps",
)
_JSON = ("digests", "labels", "own", "keeps")
_FIRST_COMMON = 4


def _read(values: dict[str, Any]) -> ContainerLike:
    for name in _JSON:
        read = None if values[name] is None else json.loads(values[name])
        values[name] = tuple(read) if isinstance(read, list) else read
    return ContainerLike(**values | {"local_build": bool(values["local_build"])})


def _query(connection: Connection, selector: Selector) -> Select[Any]:
    labels, common = written(hosts.c.labels), [_raw(containers.c[name]) for name in _COMMON]
    lists = [list_of(connection, each) for each in (hex_of(connection, hosts.c.id), hosts.c.name, containers.c.id)]
    columns: list[ColumnElement[Any]] = [labels, *lists, *common]
    query = (
        select(*columns)
        .select_from(containers)
        .join(hosts, hosts.c.id == containers.c.host_id)
        .where(hosts.c.removed_at.is_(None))
        .group_by(labels, *common)
    )
    if names := literal_names(selector.hosts):
        query = query.where(hosts.c.name.in_(names))
    if names := literal_names(selector.containers):
        query = query.where(containers.c.name.in_(names))
    return query


def list_of(connection: Connection, column: ColumnElement[Any]) -> ColumnElement[str]:
    """Return all values of a group, as a JSON list."""
    if connection.dialect.name == "postgresql":
        return cast(func.json_agg(column), Text())
    return func.json_group_array(column, type_=Text())


def _away(connection: Connection, now: datetime) -> Select[Any]:
    return select(hex_of(connection, hosts.c.id), hosts.c.last_seen_at).where(hosts.c.removed_at.is_(None), silent(now))


def _raw(column: Column[Any]) -> ColumnElement[Any]:
    if column.name in _JSON:
        return written(column)
    return type_coerce(column, Integer()) if column.name == "local_build" else column
