"""How each source did, day by day, and whom it served."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, func, select

from fleet.history.questions.days import mirror_sums
from fleet.history.questions.query_bounds import closed_until, day_of, midnight
from fleet.history.questions.query_ways import MOST_MIRRORS, distinct
from fleet.history.sql.database import Database
from fleet.history.tables.days import mirror_days
from fleet.history.tables.facts import attempts
from fleet.history.tables.inventory import hosts
from fleet.mirrors.attempt import AttemptResult

LONGEST = timedelta(days=400)
"""The longest time that is told of at once."""
LOOKED_AT = 5000
"""How many of a source's newest attempts are looked at to tell whom it served."""
MOST_HOSTS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorDay:
    """One source on one day, by the day on which the centre wrote it down (UTC)."""

    mirror: str
    day: str
    pulls: int
    served: int
    failures: int
    passed_over: int
    fallbacks: int
    """Pulls that it served after a source before it had not."""
    bytes: int
    duration_ms: int
    requests: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedHost:
    """How much of a source went to one host."""

    mirror: str
    host_id: UUID
    host: str
    pulls: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorReport:
    """How the sources did."""

    days: tuple[MirrorDay, ...]
    served: tuple[ServedHost, ...]
    """The hosts that got most of one source's newest attempts; empty where no single source was asked for."""
    looked_at: int
    """How many attempts *served* was counted over."""


def mirror_report(db: Database, since: datetime, until: datetime | None = None, mirror: str = "") -> MirrorReport:
    """Return the days from that of *since* to that of *until*, of the sources whose endpoint holds *mirror*."""
    with db.reading() as connection:
        last = until or db.moment(connection)
        first = max(since, last - LONGEST)
        found = [day for day in _days(connection, first, last) if mirror in day.mirror]
        named = [each for each in distinct(connection, attempts.c.mirror, most=MOST_MIRRORS) if mirror in each]
        served, looked_at = _served(connection, named[0], first, last) if mirror and len(named) == 1 else ((), 0)
    return MirrorReport(
        days=tuple(sorted(found, key=lambda day: (day.day, day.mirror))), served=served, looked_at=looked_at
    )


def _days(connection: Connection, first: datetime, last: datetime) -> Iterator[MirrorDay]:
    m = mirror_days.c
    query = select(mirror_days).where(m.day >= day_of(first), m.day <= day_of(last))
    yield from (MirrorDay(**row) for row in connection.execute(query).mappings())
    closed = closed_until(connection)
    begin = midnight(day_of(first)) if closed is None else max(closed, midnight(day_of(first)))
    while begin <= last:
        end = begin + timedelta(days=1)
        for row in connection.execute(mirror_sums(begin, end)).mappings():
            yield MirrorDay(day=day_of(begin), **row)
        begin = end


def _served(connection: Connection, mirror: str, first: datetime, last: datetime) -> tuple[tuple[ServedHost, ...], int]:
    a = attempts.c
    newest: Any = (
        select(a.host_id, a.bytes, a.result, a.recorded_at)
        .where(a.mirror == mirror)
        .order_by(a.pull_id.desc())
        .limit(LOOKED_AT)
        .subquery("newest")
    )
    n, begin, end = newest.c, midnight(day_of(first)), midnight(day_of(last)) + timedelta(days=1)
    query = (
        select(n.host_id, func.count().label("pulls"), func.sum(n.bytes).label("bytes"))
        .where(n.result == AttemptResult.SERVED, n.recorded_at >= begin, n.recorded_at < end)
        .group_by(n.host_id)
    )
    rows = sorted(connection.execute(query).mappings(), key=lambda row: (-row["bytes"], row["host_id"]))
    kept = rows[:MOST_HOSTS]
    found = connection.execute(select(hosts.c.id, hosts.c.name).where(hosts.c.id.in_([r["host_id"] for r in kept])))
    names = {row.id: row.name for row in found}
    served = (
        ServedHost(
            mirror=mirror,
            host_id=row["host_id"],
            host=names.get(row["host_id"], ""),
            pulls=row["pulls"],
            bytes=int(row["bytes"]),
        )
        for row in kept
    )
    return tuple(served), sum(row["pulls"] for row in rows)
