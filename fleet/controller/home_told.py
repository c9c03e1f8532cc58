"""What Home Assistant is told of hosts: how each of their containers stands, as ``fleet outdated`` says it."""

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit
from uuid import UUID

from fleet.controller.outdated import Standing, judged
from fleet.controller.standing import Freshness
from fleet.errors import BadInput
from fleet.history.inventory.containers import ContainerRow, of_hosts
from fleet.history.rollouts.home_marks import HostMark
from fleet.history.sql.database import Database
from fleet.images.reference import Reference
from fleet.mqtt.entities import ContainerTold, HostTold, version
from fleet.rollouts.selector import Selector, is_glob
from fleet.updates.labels import label
from fleet.updates.snapshot import SOURCE_LABELS

log = logging.getLogger(__name__)

MOST_CONTAINERS = 400
"""Of so many containers of a host it is told at most, by name: no engine runs more, and a host could otherwise fill Home Assistant."""
LONGEST_URL = 500
_DIGITS = slice(7, 19)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the owner wants Home Assistant to know, and to do."""

    told: Selector
    may_install: Selector | None
    """On which hosts it may order updates; None: on none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What is told of one host."""

    host: HostTold
    outdated: Mapping[str, str]
    """The containers that are outdated, by name, each with the digest that its tag has now."""


Notes = Mapping[tuple[UUID, str], tuple[str, str]]
"""By host and container: the digest that was not installed, and why."""


def told_of(
    db: Database,
    marks: Mapping[str, HostMark],
    wanted: Wanted,
    under_way: Mapping[str, frozenset[str]],
    notes: Notes,
) -> Iterator[Told]:
    """Yield what is told of each host of *marks* that the owner wants told of; raise DatabaseUnreachable."""
    taken = {UUID(id): mark for id, mark in marks.items() if wanted.told.takes_host(mark.name, mark.labels)}
    by_host = _by_host([row for row in of_hosts(db, taken) if wanted.told.takes_container(row.name, row.image)])
    rows = [row for named in by_host.values() for row in named.values()]
    standings: dict[UUID, list[Standing]] = defaultdict(list)
    for standing in judged(db, rows) if rows else ():
        standings[standing.container.host_id].append(standing)
    for id, mark in taken.items():
        may = wanted.may_install is not None and wanted.may_install.takes_host(mark.name, mark.labels)
        told = tuple(_container(each, may, under_way.get(id.hex, frozenset()), notes) for each in standings[id])
        outdated = {s.container.name: s.new_digest for s in standings[id] if s.freshness is Freshness.OUTDATED}
        host = HostTold(
            id=id.hex, name=mark.name, engine_version=mark.engine_version, online=not mark.silent, containers=told
        )
        yield Told(host=host, outdated=outdated)


def _by_host(rows: list[ContainerRow]) -> dict[UUID, dict[str, ContainerRow]]:
    """Return the containers of each host by their names, of two with one name the one that was seen last."""
    found: dict[UUID, dict[str, ContainerRow]] = defaultdict(dict)
    for row in sorted(rows, key=lambda row: row.seen_at):
        found[row.host_id][row.name] = row
    for host_id, named in found.items():
        if len(named) > MOST_CONTAINERS:
            log.warning("not all containers told", extra={"host": host_id.hex, "containers": len(named)})
        found[host_id] = {name: named[name] for name in sorted(named)[:MOST_CONTAINERS]}
    return found


def _container(standing: Standing, may: bool, under_way: frozenset[str], notes: Notes) -> ContainerTold:
    container = standing.container
    tag = container.image.rpartition(":")[2] or "pinned"
    old, new = standing.old_digest, standing.new_digest
    outdated = standing.freshness is Freshness.OUTDATED
    known = outdated or standing.freshness is Freshness.CURRENT
    digest, why = notes.get((container.host_id, container.name), ("", ""))
    return ContainerTold(
        name=container.name,
        title=_title(container),
        installed=version(tag, old, new) if old else f"{tag} (not known)",
        latest=version(tag, new, old) if known else "",
        url=_release_url(container.labels),
        summary=why if why and digest == new else standing.reason or _change(old, new),
        under_way=container.name in under_way and standing.freshness is not Freshness.CURRENT,
        # What a pattern means is more than this container.
        may_install=may and not is_glob(container.name),
    )


def _release_url(labels: Mapping[str, str]) -> str:
    """Return where people read what is new: as its owner says, or its image; empty: neither says it in a way that Home Assistant takes."""
    for url in (label(labels, "release-url"), *(labels.get(name, "") for name in SOURCE_LABELS)):
        if len(url) <= LONGEST_URL and url.isprintable() and " " not in url and _is_web(url):
            return url
    return ""


def _is_web(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.username is None


def _title(container: ContainerRow) -> str:
    try:
        return Reference.parse(container.image or container.reference).familiar
    except BadInput:
        return container.reference


def _change(old: str, new: str) -> str:
    return f"{old[_DIGITS]} → {new[_DIGITS]}" if old and new and old != new else ""
