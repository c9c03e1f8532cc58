"""The feed: events in the one order in which they can be read, so that whoever tells the last number that he had misses none.

The id of an event is made long before the event is written, and its time does not say when it was committed: after either, one
may still come that stands before it. So events are numbered once they can be seen, by whoever reads them first, under a lock:
what has a higher number was numbered, and could be read, later.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, RowMapping, exists, func, select, update

from fleet.history.noted.followed import NAME
from fleet.history.notify.telling import make_whole
from fleet.history.sql.database import Database
from fleet.history.sql.upsert import insert_new, update_rows
from fleet.history.tables.feed import feed as table
from fleet.history.tables.notify import events
from fleet.notify.events import Event
from fleet.notify.rule import About
from fleet.rollouts.selector import Selector

AT_ONCE = 1000
"""How many events are numbered by one transaction."""
PAGE = 200
"""How many events are read at once."""
_SOMEBODY = UUID(int=0)
"""Stands for all who follow and select, in the place of a channel: what events are about is the same for each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One event of the feed."""

    number: int
    event: Event
    about: tuple[About, ...]
    """Empty where nobody selects by it."""
    document: str
    """The CloudEvent, in JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some events in their order."""

    told: tuple[Told, ...]
    last: int
    """Up to which number they were looked for: the next page begins behind it."""
    whole: bool
    """Whether as many were found as were looked for: more may follow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What of the feed is kept."""

    oldest: int
    """The number of the oldest event that is kept; behind :attr:`last`: none is."""
    last: int
    """The last number that was given; 0: none yet."""

    def lost(self, after: int) -> bool:
        """Tell whether events behind *after* are not kept any more, or that number was never given."""
        return after > self.last or after + 1 < self.oldest


def number_new(db: Database) -> int:
    """Give numbers to the oldest events that have none; return to how many. Mostly there is none, and nobody waits for that."""
    unnumbered = events.c.number.is_(None)
    with db.reading() as connection:
        if not connection.execute(select(exists().where(unnumbered))).scalar():
            return 0
    with db.writing() as connection:
        last = _locked(connection)
        query = select(events.c.id).where(unnumbered).order_by(events.c.at, events.c.id).limit(AT_ONCE)
        found = connection.execute(query).scalars().all()
        rows = [{"id": id, "number": number} for number, id in enumerate(found, last + 1)]
        update_rows(connection, events, rows, ("id",), ("number",))
        connection.execute(update(table).where(table.c.name == NAME).values(last=last + len(rows)))
        return len(rows)


def number_all(db: Database) -> None:
    """Give a number to every event that can be seen."""
    while number_new(db) == AT_ONCE:
        pass


def _locked(connection: Connection) -> int:
    """Return the last number, and keep others from giving more until the transaction ends."""
    insert_new(connection, table, [{"name": NAME, "last": 0}], ("name",))
    query = select(table.c.last).where(table.c.name == NAME).with_for_update()
    return int(connection.execute(query).scalar_one())


def _last(connection: Connection) -> int:
    """Return the last number that was given; 0: none yet."""
    return connection.execute(select(table.c.last).where(table.c.name == NAME)).scalar() or 0


def bounds(db: Database) -> Bounds:
    """Return what of the feed is kept."""
    with db.reading() as connection:
        last = _last(connection)
        oldest = connection.execute(select(func.min(events.c.number))).scalar()
        return Bounds(oldest=last + 1 if oldest is None else oldest, last=last)


def number_before(db: Database, at: datetime) -> int:
    """Return the number behind which all events stand that were written at *at* or later."""
    with db.reading() as connection:
        first = connection.execute(select(func.min(events.c.number)).where(events.c.at >= at)).scalar()
        last = _last(connection)
        return last if first is None else first - 1


def read_after(db: Database, number: int, source: str, *, selecting: bool) -> Page:
    """Return the events behind *number*, :data:`PAGE` at most; what they are about is looked up where somebody is *selecting*.

    *source* names this installation in them.
    """
    query = select(events).where(events.c.number > number).order_by(events.c.number).limit(PAGE)
    with db.reading() as connection:
        rows = connection.execute(query).mappings().all()
        chosen = {_SOMEBODY: Selector()} if selecting else {}
        found = {whole.event.id: whole for whole in make_whole(connection, rows, chosen)} if rows else {}
    told = tuple(
        Told(
            number=row["number"],
            event=found[row["id"]].event,
            about=found[row["id"]].about,
            document=_document(row, found[row["id"]].event, source),
        )
        for row in rows
        if row["id"] in found  # else what it tells of is not kept any more
    )
    return Page(told=told, last=rows[-1]["number"] if rows else number, whole=len(rows) == PAGE)


def _document(row: RowMapping, event: Event, source: str) -> str:
    """Return the CloudEvent as the channels were told, where some were."""
    return json.dumps(row["told"] or event.document(source), ensure_ascii=False, separators=(",", ":"))
