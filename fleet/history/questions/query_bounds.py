"""Between which ids the rows lie that were written down in a time, so that a scan knows where to end.

Ids are the time at which something was asked, rows are written down when it was done: an agent that was away for weeks
brings old ids. So the bounds are read from what was really written, day by day (``days``), and from the open days.
"""

from datetime import UTC, datetime, time, timedelta
from uuid import UUID

from sqlalchemy import Connection, select

from fleet.history.tables.days import days
from fleet.history.tables.facts import updates

PART = timedelta(minutes=10)
"""Of closed days it is known how far each part reaches, this long: a busy night writes a thousand rows in it."""


def highest_written(connection: Connection, begin: datetime, end: datetime) -> UUID | None:
    """Return the highest id of the updates that were written down from *begin* to before *end*; None: none was."""
    # Materialized, as below.
    written = (
        select(updates.c.id)
        .where(updates.c.recorded_at >= begin, updates.c.recorded_at < end)
        .cte("written")
        .prefix_with("MATERIALIZED")
    )
    found: UUID | None = connection.execute(select(written.c.id).order_by(written.c.id.desc()).limit(1)).scalar()
    return found


def closed_until(connection: Connection) -> datetime | None:
    """Return the midnight up to which every day is closed; None: none is."""
    last = connection.execute(select(days.c.day).order_by(days.c.day.desc()).limit(1)).scalar()
    return None if last is None else midnight(last) + timedelta(days=1)


def day_of(at: datetime) -> str:
    """Return the day, in UTC, of an instant."""
    return at.astimezone(UTC).date().isoformat()


def midnight(day: str) -> datetime:
    """Return the instant with which a day begins."""
    return datetime.combine(datetime.fromisoformat(day).date(), time(), tzinfo=UTC)


def highest(connection: Connection, until: datetime) -> UUID | None:
    """Return the highest id that was written down before *until*, which must lie in days that are closed; None: none was.

    A busy day holds more than a page may look at: it is known how far each part of the last day reaches, and of the last
    part the rows are read.
    """
    earlier = select(days.c.highest_id).where(days.c.day < day_of(until), days.c.highest_id.is_not(None))
    found = [connection.execute(earlier.order_by(days.c.highest_id.desc()).limit(1)).scalar()]
    its_day = select(days.c.highest_id, days.c.reach).where(days.c.day == day_of(until))
    for of_day, reach in connection.execute(its_day):
        if reach is None:
            found.append(of_day)
        else:
            whole = (until - midnight(day_of(until))) // PART
            found += [UUID(id) for id in reach[:whole] if id is not None]
            found.append(highest_written(connection, midnight(day_of(until)) + whole * PART, until))
    return max((id for id in found if id is not None), default=None)


def lowest(connection: Connection, since: datetime) -> UUID | None:
    """Return the lowest id that was written down from *since* on; None: none was."""
    closed = closed_until(connection)
    closed_days = (
        select(days.c.lowest_id)
        .where(days.c.day >= day_of(since), days.c.lowest_id.is_not(None))
        .order_by(days.c.lowest_id)
        .limit(1)
    )
    known: UUID | None = connection.execute(closed_days).scalar()
    # Of the open days only what is lower still: mostly nothing, and in partitions of months in which they wrote little.
    lower = [updates.c.id < known] if known is not None else []
    begins = since if closed is None else max(since, closed)
    # Materialized: PostgreSQL would otherwise hope to meet such a row soon when it reads all ids from the first on.
    written = select(updates.c.id).where(updates.c.recorded_at >= begins, *lower)
    open_days = written.cte("open_days").prefix_with("MATERIALIZED")
    found: UUID | None = connection.execute(select(open_days.c.id).order_by(open_days.c.id).limit(1)).scalar()
    return known if found is None else found
