"""Which sources gave wrong bytes lately, by the attempts that hosts told of."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select

from fleet.history.database import Database
from fleet.history.fact_tables import attempts
from fleet.history.inventory_tables import hosts
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


def liars(db: Database, now: datetime) -> list[Liar]:
    """Return the sources that gave wrong bytes within a day, by name."""
    with db.reading() as connection:
        return liars_of(connection, now)


def liars_of(connection: Connection, now: datetime) -> list[Liar]:
    """Return what :func:`liars` does, within a transaction."""
    a = attempts.c
    query = (
        select(a.mirror, func.count(), func.min(hosts.c.name), func.count(a.host_id.distinct()))
        .join(hosts, hosts.c.id == a.host_id)
        .where(a.recorded_at > now - LATELY, a.result == AttemptResult.WRONG_BYTES)
        .group_by(a.mirror)
        .order_by(a.mirror)
    )
    rows = connection.execute(query).all()
    return [Liar(mirror=mirror, pulls=pulls, host=host, more_hosts=n > 1) for mirror, pulls, host, n in rows]
