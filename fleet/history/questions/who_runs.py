"""Who runs a digest or an image now, since when, and which mirror brought it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, RowMapping, func, select, tuple_

from fleet.errors import BadInput
from fleet.history.questions.language_parse import is_digest
from fleet.history.questions.query_terms import Condition, digest_range
from fleet.history.sql.database import Database
from fleet.history.sql.pages import FIRST, Page, PageRequest, checked_limit
from fleet.history.tables.facts import updates
from fleet.history.tables.inventory import container_digests, containers, hosts
from fleet.images.reference import Reference

LOOKED_AT = 20
"""How many of the newest updates of a container's name are looked at for the one that made it. Each that succeeds makes a
new container, so that only failures can stand between; one that a person made since has no such update at all."""

_BEHIND = "\u9fa5"
"""A sign that every collation puts behind all that a tag may hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunsRow:
    """One container that runs what was asked for."""

    host_id: UUID
    host: str
    container_id: str
    container: str
    image: str
    digest: str
    """The digest that was asked for, else the one that its update pinned, else the first that the engine knows."""
    state: str
    first_seen_at: datetime
    """When a snapshot first held the container."""
    update_id: UUID | None = None
    """The update that made it; None: Fleet did not make it."""
    since: datetime | None = None
    """When that update was written down."""
    mirror: str = ""
    """The source that served the most bytes of it; empty: none, or not known."""
    asked_by: str = ""


def who_runs(db: Database, wanted: str, page: PageRequest = FIRST) -> Page[RunsRow]:
    """Return the containers that run *wanted*, a digest (12 hex digits will do) or an image; raises BadInput."""
    limit = checked_limit(page)
    with db.reading() as connection:
        rows = connection.execute(_query(wanted, page).limit(limit + 1)).mappings().all()
        kept = rows[:limit]
        made = _updates(connection, [row["update_id"] for row in kept if row["update_id"]])
        found = tuple(_read(row, made.get(row["update_id"]), wanted) for row in kept)
    return Page(items=found, next=f"{found[-1].host_id.hex}.{found[-1].container_id}" if len(rows) > limit else "")


def _query(wanted: str, page: PageRequest) -> Any:
    c, key = containers.c, tuple_(containers.c.host_id, containers.c.id)
    newest = (
        select(updates.c.id, updates.c.new_container_id)
        .where(updates.c.host_id == c.host_id, updates.c.container == c.name)
        .order_by(updates.c.id.desc())
        .limit(LOOKED_AT)
        .correlate(containers)
        .subquery("newest")
    )
    made_by = (
        select(newest.c.id)
        .where(newest.c.new_container_id == c.id)
        .order_by(newest.c.id.desc())
        .limit(1)
        .correlate(containers)
        .scalar_subquery()
    )
    query = (
        select(containers, hosts.c.name.label("host"), made_by.label("update_id"))
        .join(hosts, hosts.c.id == c.host_id)
        .where(_runs(wanted), hosts.c.removed_at.is_(None))
    )
    if page.cursor:
        query = query.where(key > tuple_(*_after(page.cursor)))
    return query.order_by(c.host_id, c.id)


def _runs(wanted: str) -> Condition:
    if is_digest(wanted):
        low, high = digest_range(wanted)
        d = container_digests.c
        return tuple_(containers.c.host_id, containers.c.id).in_(
            select(d.host_id, d.container_id).where(d.digest >= low, d.digest < high)
        )
    if wanted.startswith("sha256:"):
        raise BadInput(f"cannot use {wanted[:80]!r} as a digest; give it whole, or at least 12 hex digits of it")
    reference = Reference.parse(wanted)
    if reference.digest is not None:
        raise BadInput(f"cannot look for {wanted[:200]!r}; give the image or the digest, not both")
    if reference.tag is not None:
        return containers.c.image == f"{reference.name}:{reference.tag}"
    begins, image = f"{reference.name}:", containers.c.image
    # The index holds them in the order of the database's own collation: most put a semicolon before a colon, and all of
    # them this sign behind every letter. What lies between may be more than what begins so.
    return (image >= begins) & (image < f"{begins}{_BEHIND}") & (func.substr(image, 1, len(begins)) == begins)


def _updates(connection: Connection, ids: list[UUID]) -> dict[UUID, RowMapping]:
    u = updates.c
    query = select(u.id, u.recorded_at, u.mirror, u.asked_by, u.new_digest).where(u.id.in_(ids))
    return {row["id"]: row for row in connection.execute(query).mappings()}


def _read(row: RowMapping, made: RowMapping | None, wanted: str) -> RunsRow:
    return RunsRow(
        host_id=row["host_id"],
        host=row["host"],
        container_id=row["id"],
        container=row["name"],
        image=row["image"],
        digest=_digest(row["digests"], made["new_digest"] if made else "", wanted),
        state=row["state"],
        first_seen_at=row["first_seen_at"],
        update_id=made["id"] if made else None,
        since=made["recorded_at"] if made else None,
        mirror=made["mirror"] if made else "",
        asked_by=made["asked_by"] if made else "",
    )


def _digest(known: tuple[str, ...], pinned: str, wanted: str) -> str:
    if is_digest(wanted):
        begins, _ = digest_range(wanted)
        return next((digest for digest in known if digest.startswith(begins)), begins)
    return pinned if pinned in known else next(iter(known), "")


def _after(cursor: str) -> tuple[UUID, str]:
    host, _, container = cursor.partition(".")
    try:
        return UUID(host), container
    except ValueError:
        raise BadInput(f"cannot use {cursor[:80]!r} as a cursor; take `next` of the page before") from None
