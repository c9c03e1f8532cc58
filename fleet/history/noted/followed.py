"""That somebody follows the feed: what is told for his sake, which is not where nobody would hear of it.

Conditions are looked at, and each update that went well is an event, where a channel wants it or somebody followed lately: for
a day, so that who is cut off for a night misses nothing.
"""

from datetime import datetime, timedelta

from sqlalchemy import Connection, select, update

from fleet.history.sql.database import Database
from fleet.history.sql.upsert import insert_new
from fleet.history.tables.feed import feed as table

NAME = "events"
"""The one row of the table."""
FOR = timedelta(days=1)
"""How long after somebody followed it is told as if he still did."""
NOTED_EVERY = timedelta(minutes=1)
"""How exact it is noted."""
_MINE = table.c.name == NAME


def note(db: Database, *, each: bool) -> None:
    """Write down that somebody follows now, and whether he wants *each* update that went well."""
    with db.reading() as connection:
        now = db.moment(connection)
        row = connection.execute(select(table.c.followed_at, table.c.each_at).where(_MINE)).one_or_none()
    old = now - NOTED_EVERY
    known = row is not None and row.followed_at is not None and row.followed_at > old
    if known and row is not None and (not each or (row.each_at is not None and row.each_at > old)):
        return
    with db.writing() as connection:
        insert_new(connection, table, [{"name": NAME, "last": 0}], ("name",))
        values = {"followed_at": now, **({"each_at": now} if each else {})}
        connection.execute(update(table).where(_MINE).values(values))


def is_followed(db: Database) -> bool:
    """Tell whether somebody followed lately."""
    with db.reading() as connection:
        at = connection.execute(select(table.c.followed_at).where(_MINE)).scalar()
        return at is not None and at > db.moment(connection) - FOR


def each_is_followed(connection: Connection, now: datetime) -> bool:
    """Tell whether somebody followed lately who wants each update that went well."""
    at: datetime | None = connection.execute(select(table.c.each_at).where(_MINE)).scalar()
    return at is not None and at > now - FOR
