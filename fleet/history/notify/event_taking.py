"""Events are taken: once, for every channel that wants them; of each and each such channel there is a delivery then."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, RowMapping, func, select, update

from fleet.history.notify.channels import rule_of
from fleet.history.notify.deliveries import WAITS, count_outcomes
from fleet.history.notify.telling import Whole, make_whole
from fleet.history.sql.database import Database
from fleet.history.sql.upsert import insert_new
from fleet.history.tables.notify import channels, deliveries, events
from fleet.history.tables.words import ChannelKind, DeliveryState
from fleet.notify.events import OF_UPDATES, Event, EventType
from fleet.notify.rule import Rule, is_news, wants
from fleet.notify.waits import GATHERED, GIVEN_UP_AFTER

AT_ONCE = 200
"""How many events are taken by one transaction."""
MOST_WAITING = 10_000
"""How many events wait for one channel at most; what comes then is given up at once, and counted."""
KEPT_BACK = "too many events wait for this channel already"


def take_events(db: Database, source: str) -> int:
    """Find the channels that want the oldest events that were not taken; return how many events there were.

    *source* names this installation in them.
    """
    with db.reading() as connection:
        query = select(events).where(events.c.taken_at.is_(None)).order_by(events.c.at, events.c.id).limit(AT_ONCE)
        rows = connection.execute(query).mappings().all()
        known = connection.execute(select(channels).order_by(channels.c.id)).mappings().all() if rows else []
        rules = [(row, rule_of(row)) for row in known]
        chosen = {row["id"]: rule.selector for row, rule in rules if rule.selector.document()}
        found = make_whole(connection, rows, chosen) if rules else []
    if rows:
        _take(db, [row["id"] for row in rows], [(each, _wanting(each, rules)) for each in found], source)
    return len(rows)


_Told = dict[UUID, Event]
"""What each channel that wants an event is told."""


def _wanting(whole: Whole, rules: Sequence[tuple[RowMapping, Rule]]) -> _Told:
    asked = whole.event.data.get("channel") if whole.event.type is EventType.TEST else None
    if asked is not None:
        return {row["id"]: whole.event for row, _ in rules if row["name"] == asked}
    found = {}
    for row, rule in rules:
        mine = whole.own.get(row["id"], whole.event)
        news = is_news(mine, to_people=row["kind"] is ChannelKind.APPRISE)
        if news and wants(rule, mine, whole.about, row["name"]):
            found[row["id"]] = mine
    return found


def _take(db: Database, ids: Sequence[UUID], found: Sequence[tuple[Whole, _Told]], source: str) -> None:
    """Write the deliveries with the note that the events were taken; what another has taken meanwhile stays as it is."""
    with db.writing() as connection:
        now = db.moment(connection)
        room = _room(connection)
        rows = []
        for whole, wanting in found:
            if wanting:
                mine = (events.c.id == whole.event.id, events.c.told.is_(None))
                connection.execute(update(events).where(*mine).values(told=whole.event.document(source)))
            for channel_id, told in wanting.items():
                room[channel_id] = room.get(channel_id, MOST_WAITING) - 1
                own = None if told is whole.event else told.document(source)
                rows.append(_delivery(channel_id, whole.event.id, now, own, room[channel_id] >= 0))
        insert_new(connection, deliveries, rows, ("channel_id", "event_id"))
        untaken = (events.c.id.in_(ids), events.c.taken_at.is_(None))
        connection.execute(update(events).where(*untaken).values(taken_at=now))
        count_outcomes(connection, given_up=sum(row["state"] is DeliveryState.GIVEN_UP for row in rows))
        _hurry(connection, [(whole.event.type, wanting) for whole, wanting in found], now)


def _hurry(connection: Connection, found: Iterable[tuple[EventType, _Told]], now: datetime) -> None:
    """Let channels be told soon of what is no update: only those are gathered for longer than a minute."""
    c = channels.c
    ids = {channel_id for type, wanting in found if type not in OF_UPDATES for channel_id in wanting}
    gathering = (c.id.in_(ids), c.failures == 0, c.due_at > now)
    rows = connection.execute(select(c.id, c.sent_at).where(*gathering, c.sent_at.is_not(None))).all() if ids else []
    for row in rows:
        sooner = update(channels).where(c.id == row.id, c.due_at > row.sent_at + GATHERED)
        connection.execute(sooner.values(due_at=row.sent_at + GATHERED))


def _room(connection: Connection) -> dict[UUID, int]:
    """Return by channel how many more events may wait."""
    d = deliveries.c
    query = select(d.channel_id, func.count().label("counted")).where(WAITS)
    return {row.channel_id: MOST_WAITING - row.counted for row in connection.execute(query.group_by(d.channel_id))}


def _delivery(
    channel_id: UUID, event_id: UUID, now: datetime, told: dict[str, Any] | None, room: bool
) -> dict[str, Any]:
    return {
        "channel_id": channel_id,
        "event_id": event_id,
        "state": DeliveryState.WAITING if room else DeliveryState.GIVEN_UP,
        "tries": 0,
        "reason": "" if room else KEPT_BACK,
        "created_at": now,
        "until": now + GIVEN_UP_AFTER,
        "ended_at": None if room else now,
        "told": told,
        "held_until": None,
    }
