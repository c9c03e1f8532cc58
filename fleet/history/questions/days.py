"""Close the days that are over: what each came to is written down once, and long questions read that."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, Connection, Integer, case, cast, func, insert, literal, null, select, update

from fleet.history.questions.query_bounds import PART, closed_until, day_of, highest_written, midnight
from fleet.history.sql.amounts import MOST_BYTES
from fleet.history.sql.database import Database
from fleet.history.tables.days import days, mirror_days
from fleet.history.tables.facts import FAILURES, attempts, updates
from fleet.mirrors.attempt import AttemptResult

GRACE = timedelta(minutes=10)
"""Longer than a batch of the inbox takes to be committed after the time that stands in its rows."""

NO_FAILURE = (AttemptResult.SERVED, AttemptResult.UNUSED, AttemptResult.BREAKER_OPEN)


def close_days(db: Database) -> int:
    """Close every day that is over, each in a transaction of its own; return how many were."""
    closed = 0
    while _close_next(db):
        closed += 1
    while _tell_reach(db):  # of days that an earlier release closed
        pass
    return closed


def _close_next(db: Database) -> bool:
    with db.writing() as connection:
        day = open_day(connection)
        if day is None or midnight(day) + timedelta(days=1) + GRACE > db.moment(connection):
            return False
        _close(connection, day, db.moment(connection))
        return True


def _tell_reach(db: Database) -> bool:
    """Write how far the parts of the newest closed day reach of which that is not known."""
    with db.writing() as connection:
        without = select(days.c.day).where(days.c.reach.is_(null())).order_by(days.c.day.desc()).limit(1)
        day = connection.execute(without).scalar()
        if day is None:
            return False
        connection.execute(update(days).where(days.c.day == day).values(reach=_reach(connection, day)))
        return True


def _reach(connection: Connection, day: str) -> list[str | None]:
    """Return the highest id, as hex digits, of each part of a day."""
    begins = [midnight(day) + number * PART for number in range(timedelta(days=1) // PART)]
    found = [highest_written(connection, begin, begin + PART) for begin in begins]
    return [None if id is None else id.hex for id in found]


def mirror_sums(begin: datetime, end: datetime | None) -> Any:
    """Select, by mirror, what the attempts came to that were written down from *begin* to before *end*."""
    a = attempts.c
    served = a.result == AttemptResult.SERVED
    when = [a.recorded_at >= begin, *([a.recorded_at < end] if end is not None else [])]
    return (
        select(
            a.mirror,
            func.count().label("pulls"),
            _count(served).label("served"),
            _count(a.result.not_in(NO_FAILURE)).label("failures"),
            _count(a.result == AttemptResult.BREAKER_OPEN).label("passed_over"),
            _count(served & (a.seq > 0)).label("fallbacks"),
            _sum(a.bytes).label("bytes"),
            _sum(a.duration_ms).label("duration_ms"),
            _sum(a.requests).label("requests"),
        )
        .where(*when, a.result != AttemptResult.UNUSED)
        .group_by(a.mirror)
    )


def open_day(connection: Connection) -> str | None:
    """Return the first day with facts that is not closed; None where there is none. Days without any are passed over."""
    closed = closed_until(connection)
    firsts = []
    for table in (updates, attempts):
        open_facts = [table.c.recorded_at >= closed] if closed is not None else []
        firsts.append(connection.execute(select(func.min(table.c.recorded_at)).where(*open_facts)).scalar())
    return min((day_of(first) for first in firsts if first is not None), default=None)


def _close(connection: Connection, day: str, now: datetime) -> None:
    begin, end = midnight(day), midnight(day) + timedelta(days=1)
    of_day = (
        select(updates.c.id, updates.c.result)
        .where(updates.c.recorded_at >= begin, updates.c.recorded_at < end)
        .cte("of_day")
        .prefix_with("MATERIALIZED")
    )
    lowest = select(of_day.c.id).order_by(of_day.c.id).limit(1).scalar_subquery()
    highest = select(of_day.c.id).order_by(of_day.c.id.desc()).limit(1).scalar_subquery()
    sums = select(
        lowest.label("lowest_id"),
        highest.label("highest_id"),
        func.count().label("updates"),
        _count(of_day.c.result.in_(FAILURES)).label("failures"),
    ).select_from(of_day)
    row = connection.execute(sums).mappings().one()
    connection.execute(insert(days), {"day": day, "closed_at": now, "reach": _reach(connection, day), **row})
    of_mirrors = connection.execute(mirror_sums(begin, end)).mappings().all()
    if of_mirrors:
        connection.execute(insert(mirror_days), [{"day": day, **each} for each in of_mirrors])


def _count(condition: Any) -> Any:
    return cast(func.coalesce(func.sum(case((condition, 1), else_=0)), 0), Integer)


def _sum(column: Any) -> Any:
    # Earlier releases kept what hosts said as it was. PostgreSQL's sum of big integers is numeric; SQLite's must not overflow.
    wide = cast(column, BigInteger)
    total = func.coalesce(func.sum(case((wide < 0, 0), (wide > MOST_BYTES, MOST_BYTES), else_=wide)), 0)
    most = literal(2**63 - 1 if isinstance(column.type, BigInteger) else 2**31 - 1, BigInteger)
    return cast(case((total > most, most), else_=total), column.type)
