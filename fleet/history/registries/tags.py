"""What the tags that containers follow resolve to: each image is checked once for all hosts."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, RowMapping, Select, exists, func, or_, select, update

from fleet.errors import NotFound
from fleet.history.noted.counting import CheckedBy, CheckOutcome, Tally
from fleet.history.noted.outgoing import post
from fleet.history.rules.policies import fleet_resolve
from fleet.history.sql.database import Database
from fleet.history.sql.upsert import insert_new, insert_or_update
from fleet.history.tables.inventory import containers, hosts, resolves
from fleet.history.tables.inventory import images as seen_digests
from fleet.history.tables.inventory import tags as table
from fleet.ids import new_id
from fleet.road.messages import Resolve
from fleet.rollouts.silence import SILENT_AFTER

ASK_AGAIN_AFTER = timedelta(minutes=5)
"""How long a request to a host keeps others for the same image away."""
MOST_FOLLOWED = 1000
"""How many images one host may have the centre ask for; an engine runs some hundred containers."""
ASKED_AT_ONCE = 2
"""How many hosts are asked: the word of one alone is believed only where no other could be asked."""

FOLLOWING = (containers.c.image != "", containers.c.state == "running", containers.c.local_build.is_(False))
"""Which containers have the centre ask for their tags."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TagRow:
    """One tag, at its latest check."""

    image: str
    digest: str
    """At the last check that succeeded; empty: none did yet."""
    endpoint: str
    reason: str
    """Why the last check failed; empty where it did not."""
    resolved_at: datetime | None
    checked_at: datetime | None
    leased_until: datetime | None
    refused_digest: str = ""
    """A digest that the tag had before and went back to, which was refused; empty: none."""
    first_seen_at: datetime | None = None
    """When Fleet first saw the tag have *digest*; None where it has none."""


def followed(db: Database) -> list[str]:
    """Return the images (canonical registry/repository:tag) that running containers follow, sorted.

    Of a host with more containers than any runs, so many as a host may follow: it need not run what it tells of, and would
    have the centre ask for others' tags no more.
    """
    mine = containers.c.host_id == hosts.c.id
    following = (mine, *FOLLOWING, hosts.c.removed_at.is_(None))
    with db.reading() as connection:
        counts = select(containers.c.host_id).group_by(containers.c.host_id).having(func.count() > MOST_FOLLOWED)
        swollen = connection.execute(counts).scalars().all()
        query = select(containers.c.image).where(*following, hosts.c.id.not_in(swollen))
        found = set(connection.execute(query.distinct()).scalars())
        for host_id in swollen:
            its = select(containers.c.image).where(*following, hosts.c.id == host_id).distinct()
            found.update(connection.execute(its.order_by(containers.c.image).limit(MOST_FOLLOWED)).scalars())
        return sorted(found)


def lease(db: Database, images: Sequence[str], now: datetime, seconds: int) -> list[str]:
    """Return those of *images* that nobody else checks at *now*; others are kept away from them for *seconds*."""
    with db.writing() as connection:
        wanted = sorted(set(images))
        insert_new(connection, table, [_blank(image) for image in wanted], ("image",))
        free = or_(table.c.leased_until.is_(None), table.c.leased_until <= now)
        query = select(table.c.image).where(table.c.image.in_(wanted), free).order_by(table.c.image)
        taken = list(connection.execute(query.with_for_update()).scalars())
        until = now + timedelta(seconds=seconds)
        connection.execute(update(table).where(table.c.image.in_(taken)).values(leased_until=until))
        return taken


def record_resolved(db: Database, image: str, digest: str, endpoint: str) -> None:
    """Write down that *image* resolves to *digest*, as *endpoint* said, and end the lease."""
    with db.writing() as connection:
        outcome = note_resolved(connection, db.moment(connection), image, digest, endpoint)
        _count(connection, image, outcome)


def record_failed(db: Database, image: str, reason: str) -> None:
    """Write down why the check of *image* failed, keep the digest that was known, and end the lease."""
    with db.writing() as connection:
        note_failed(connection, db.moment(connection), image, reason)
        _count(connection, image, CheckOutcome.FAILED)


def _count(connection: Connection, image: str, outcome: CheckOutcome) -> None:
    tally = Tally()
    tally.add_check(image, outcome, CheckedBy.CENTRE)
    tally.write(connection)


def note_resolved(connection: Connection, now: datetime, image: str, digest: str, endpoint: str) -> CheckOutcome:
    """As :func:`record_resolved`, inside a transaction; return whether it is believed. It is not counted here.

    A move back to a digest that the tag had before is refused, unless the fleet's policy allows it: a stale mirror or
    registry says just that. The digest that was known stays, with the reason.
    """
    known = _known(connection, image)
    back = _went_back(connection, image, digest, known)
    if back is not None and not fleet_resolve(connection).may_go_back(image):
        reason = _refusal(image, digest, endpoint, back)
        row = {**_blank(image), "reason": reason, "checked_at": now, "refused_digest": digest}
        insert_or_update(connection, table, [row], ("image",), keep=("digest", "endpoint", "resolved_at"))
        return CheckOutcome.REFUSED
    row = {**_blank(image), "digest": digest, "endpoint": endpoint, "resolved_at": now, "checked_at": now}
    insert_or_update(connection, table, [row], ("image",))
    seen = {"image": image, "digest": digest, "first_seen_at": now, "last_seen_at": now, "endpoint": endpoint}
    insert_or_update(connection, seen_digests, [seen], ("image", "digest"), keep=("first_seen_at", "endpoint"))
    return CheckOutcome.RESOLVED


def _known(connection: Connection, image: str) -> str:
    """Return the digest that *image* has as far as is known, empty: none."""
    return connection.execute(select(table.c.digest).where(table.c.image == image)).scalar() or ""


def _went_back(connection: Connection, image: str, digest: str, known: str) -> datetime | None:
    """Return when *image* was last seen to have *digest*, where it has had another one since; None: it moves on."""
    if known in ("", digest):
        return None
    query = select(seen_digests.c.last_seen_at).where(seen_digests.c.image == image, seen_digests.c.digest == digest)
    found: datetime | None = connection.execute(query).scalar()
    return found


def _refusal(image: str, digest: str, endpoint: str, back: datetime) -> str:
    return (
        f"cannot follow {image} back to {digest[:19]}, as {endpoint} says: the tag had it until {back:%Y-%m-%d %H:%M}"
        " UTC and another one since, as a stale mirror would say; where it was taken back on purpose, name the image"
        " under allow_back of [resolve] in the fleet's policy"
    )


def note_failed(connection: Connection, now: datetime, image: str, reason: str) -> None:
    """As :func:`record_failed`, inside a transaction. It is not counted here."""
    row = {**_blank(image), "reason": reason, "checked_at": now}
    kept = ("digest", "endpoint", "resolved_at", "refused_digest")
    insert_or_update(connection, table, [row], ("image",), keep=kept)


def ask_host(db: Database, image: str) -> UUID:
    """Ask two live hosts that run *image* to resolve it with their own credentials; return the id of a request.

    One is asked where only one is live. A request that still waits is not made twice. Raises NotFound where no live host
    runs it.
    """
    with db.writing() as connection:
        now = db.moment(connection)
        waits = (resolves.c.answered_at.is_(None), resolves.c.asked_at > now - ASK_AGAIN_AFTER)
        query = select(resolves.c.id).where(resolves.c.image == image, *waits).limit(1)
        waiting: UUID | None = connection.execute(query).scalar()
        if waiting is not None:
            return waiting
        for host_id in _hosts_to_ask(connection, image, now):
            id = new_id()
            row = {"id": id, "image": image, "host_id": host_id, "asked_at": now}
            connection.execute(resolves.insert().values(row))
            post(connection, host_id, Resolve(request=id, reference=image), now)
        return id


def note_answer(
    connection: Connection, now: datetime, request: UUID, digest: str, endpoint: str, reason: str
) -> CheckOutcome | None:
    """Write down what a host says to a *request*: a *digest*, or why it has none; return what came of the check.

    None: another host was asked with it, and has not answered. One host alone could name any digest of the repository for
    all that follow the tag, so where two say different ones neither is believed.
    """
    mine = resolves.c.id == request
    connection.execute(update(resolves).where(mine).values(answered_at=now, digest=digest))
    image, asked_at = connection.execute(select(resolves.c.image, resolves.c.asked_at).where(mine)).one()
    together = (resolves.c.image == image, resolves.c.asked_at == asked_at)
    query = select(hosts.c.name, resolves.c.digest, resolves.c.answered_at).join(
        hosts, hosts.c.id == resolves.c.host_id
    )
    said = connection.execute(query.where(*together).order_by(hosts.c.name)).all()
    if any(row.answered_at is None for row in said):
        return None
    told = {row.digest: row.name for row in said if row.digest}
    if len(told) == 1:
        return note_resolved(connection, now, image, next(iter(told)), endpoint)
    note_failed(connection, now, image, _contradiction(image, told) if told else reason)
    return CheckOutcome.FAILED


def _contradiction(image: str, told: Mapping[str, str]) -> str:
    words = " and ".join(f"{name} {digest[:19]}" for digest, name in told.items())
    return (
        f"cannot tell what {image} is: hosts that were asked were told different digests, {words}; where that stays so, one of"
        " them is not to be trusted, or asks another registry"
    )


def _hosts_to_ask(connection: Connection, image: str, now: datetime) -> Sequence[UUID]:
    """Return two live hosts that run *image*, or one; others each time, where more could be asked."""
    asked = select(resolves.c.asked_at).where(resolves.c.host_id == hosts.c.id, resolves.c.image == image)
    last = asked.order_by(resolves.c.asked_at.desc()).limit(1).scalar_subquery()
    runs = exists().where(containers.c.host_id == hosts.c.id, containers.c.image == image, *FOLLOWING)
    live = (hosts.c.removed_at.is_(None), hosts.c.last_seen_at > now - SILENT_AFTER)
    query = select(hosts.c.id).where(runs, *live).order_by(last.asc().nulls_first(), hosts.c.id).limit(ASKED_AT_ONCE)
    found = connection.execute(query).scalars().all()
    if not found:
        raise NotFound(f"cannot ask a host for {image}: no host that runs it was heard of lately")
    return found


def tag(db: Database, image: str) -> TagRow | None:
    """Return what is known of *image*; None where it was never checked."""
    with db.reading() as connection:
        row = connection.execute(_rows().where(table.c.image == image)).mappings().one_or_none()
        return None if row is None else _read(row)


def tags(db: Database) -> dict[str, TagRow]:
    """Return every tag that was ever checked, by its image."""
    with db.reading() as connection:
        return {row["image"]: _read(row) for row in connection.execute(_rows()).mappings()}


def tags_of(db: Database, images: Iterable[str]) -> dict[str, TagRow]:
    """Return those of *images* that were ever checked."""
    query = _rows().where(table.c.image.in_(sorted(set(images))))
    with db.reading() as connection:
        return {row["image"]: _read(row) for row in connection.execute(query).mappings()}


def _rows() -> Select[Any]:
    seen = seen_digests.c
    here = (seen.image == table.c.image) & (seen.digest == table.c.digest)
    return select(table, seen.first_seen_at).outerjoin(seen_digests, here)


def _read(row: RowMapping) -> TagRow:
    return TagRow(**{**row, "refused_digest": row["refused_digest"] or ""})


def _blank(image: str) -> dict[str, object]:
    texts = dict.fromkeys(("digest", "endpoint", "reason"), "")
    nothing = dict.fromkeys(("resolved_at", "checked_at", "leased_until", "refused_digest"))
    return {"image": image, **texts, **nothing}
