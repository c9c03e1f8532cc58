"""Which sources gave wrong bytes lately, by the attempts that hosts told of."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, func, select

from fleet.history.sql.database import Database
from fleet.history.tables.facts import attempts
from fleet.history.tables.inventory import hosts
from fleet.mirrors.attempt import AttemptResult

LATELY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Liar:
    """One source that gave bytes without the digest."""

    mirror: str
    pulls: int
    host: str
    """One of the hosts that it gave them to, the first by name; none of them let its engine have them."""
    more_hosts: bool


def seen_lying(connection: Connection, now: datetime) -> dict[UUID, set[str]]:
    """Return, by host, the sources that gave it wrong bytes within a day."""
    a = attempts.c
    query = select(a.host_id, a.mirror).where(a.recorded_at > now - LATELY, a.result == AttemptResult.WRONG_BYTES)
    found: dict[UUID, set[str]] = {}
    for row in connection.execute(query.distinct()):
        found.setdefault(row.host_id, set()).add(row.mirror)
    return found


def liars(db: Database, now: datetime) -> list[Liar]:
    """Return the sources that gave wrong bytes within a day, by name."""
    with db.reading() as connection:
        return liars_of(connection, now)


def liars_of(connection: Connection, now: datetime) -> list[Liar]:
    """Return what :func:`liars` does, within a transaction."""
    a = attempts.c
    # By itself first: SQLite would rather read all that ever happened, by an index in the order of mirrors.
    wrong: Any = (
        select(a.mirror, a.host_id)
        .where(a.recorded_at > now - LATELY, a.result == AttemptResult.WRONG_BYTES)
        .cte("wrong")
        .prefix_with("MATERIALIZED")
    )
    w = wrong.c
    query = (
        select(w.mirror, func.count(), func.min(hosts.c.name), func.count(w.host_id.distinct()))
        .join(hosts, hosts.c.id == w.host_id)
        .group_by(w.mirror)
        .order_by(w.mirror)
    )
    rows = connection.execute(query).all()
    return [Liar(mirror=mirror, pulls=pulls, host=host, more_hosts=n > 1) for mirror, pulls, host, n in rows]
