"""Deliveries: events are taken once for every channel that wants them, and each is sent until it is taken or given up.

What was sent is noted afterwards: who dies between the two sends it again, under the same id, and nothing is lost.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, RowMapping, and_, exists, func, or_, select, update

from fleet.history import audit
from fleet.history.among import among_states
from fleet.history.channels import find_channel, quiet_of, rule_of, template_of
from fleet.history.counting import Counted, Tally
from fleet.history.database import Database
from fleet.history.events import event, tell
from fleet.history.notify_tables import channels, deliveries, events
from fleet.history.plain import prose
from fleet.history.telling import Whole, make_whole
from fleet.history.upsert import insert_new
from fleet.history.words import ChannelKind, DeliveryState
from fleet.ids import new_id
from fleet.notify.events import OF_UPDATES, Event, EventType, read
from fleet.notify.quiet import Quiet
from fleet.notify.rule import Rule, is_news, wants
from fleet.notify.sent import Came, Sent
from fleet.notify.severity import Severity
from fleet.notify.template import Template
from fleet.notify.waits import GATHERED, GIVEN_UP_AFTER, gathering, wait

AT_ONCE = 200
"""How many events are taken by one transaction."""
LEASE = timedelta(minutes=2)
"""How long who sends has a channel for itself; longer than one sending may take."""
MOST_WAITING = 10_000
"""How many events wait for one channel at most; what comes then is given up at once, and counted."""
_WAITS = among_states(deliveries.c.state, [DeliveryState.WAITING])
KEPT_BACK = "too many events wait for this channel already"


@dataclass(frozen=True, slots=True, kw_only=True)
class DueChannel:
    """A channel to which something is to be sent now, taken for a while."""

    id: UUID
    name: str
    kind: ChannelKind
    sealed: str
    quiet: Quiet
    template: Template


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRow:
    """One event on its way to one channel."""

    channel_id: UUID
    event_id: UUID
    state: DeliveryState
    tries: int
    reason: str
    created_at: datetime
    until: datetime
    ended_at: datetime | None
    held_until: datetime | None
    """When the quiet hours end that it waits for."""
    told: dict[str, Any]
    """The CloudEvent."""


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
        _count(connection, given_up=sum(row["state"] is DeliveryState.GIVEN_UP for row in rows))
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
    query = select(d.channel_id, func.count().label("counted")).where(_WAITS)
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


def give_up_old(db: Database) -> int:
    """Give up what was tried for long enough; return how much."""
    d = deliveries.c
    old = (_WAITS, d.until <= db.now())
    with db.reading() as connection:
        # Mostly there is none, and nobody is to wait for that.
        if not connection.execute(select(exists().where(*old))).scalar():
            return 0
    with db.writing() as connection:
        values = {"state": DeliveryState.GIVEN_UP, "ended_at": db.moment(connection)}
        count = connection.execute(update(deliveries).where(*old).values(values)).rowcount
        _count(connection, given_up=count)
        return count


def _count(connection: Connection, **outcomes: int) -> None:
    tally = Tally()
    tally.counts.update({(Counted.NOTIFICATIONS, (outcome,)): count for outcome, count in outcomes.items()})
    tally.write(connection)


def due_channels(db: Database) -> list[UUID]:
    """Return the channels to which something may be sent now."""
    with db.reading() as connection:
        return list(connection.execute(select(channels.c.id).where(*_due(db.moment(connection)))).scalars())


def claim_channel(db: Database, channel_id: UUID) -> DueChannel | None:
    """Take a channel for a while; None where another has it, or nothing is to be sent to it any more."""
    with db.writing() as connection:
        now = db.moment(connection)
        taken = update(channels).where(channels.c.id == channel_id, *_due(now)).values(leased_until=now + LEASE)
        if connection.execute(taken).rowcount != 1:
            return None
        row = connection.execute(select(channels).where(channels.c.id == channel_id)).mappings().one()
        parts = {part: row[part] for part in ("id", "name", "kind", "sealed")}
        return DueChannel(**parts, quiet=quiet_of(row), template=template_of(row))


def _due(now: datetime) -> tuple[Any, ...]:
    c, d = channels.c, deliveries.c
    waits = exists().where(d.channel_id == c.id, _WAITS, _free(now))
    free = or_(c.leased_until.is_(None), c.leased_until <= now)
    return c.stopped_at.is_(None), or_(c.due_at.is_(None), c.due_at <= now), free, waits


def _free(now: datetime) -> Any:
    """Return what is true of deliveries that no quiet hours hold."""
    return or_(deliveries.c.held_until.is_(None), deliveries.c.held_until <= now)


def waiting(db: Database, channel_id: UUID, limit: int) -> list[DeliveryRow]:
    """Return what waits for a channel and may be sent, oldest first."""
    d = deliveries.c
    with db.reading() as connection:
        mine = and_(d.channel_id == channel_id, _WAITS, _free(db.moment(connection)))
        query = _with_events().where(mine).order_by(d.created_at, d.event_id).limit(limit)
        return [DeliveryRow(**row) for row in connection.execute(query).mappings()]


def hold_quiet(db: Database, channel: DueChannel) -> None:
    """Let what can wait for the end of a channel's quiet hours wait, where they hold now; it is tried as long as ever from then."""
    if (until := channel.quiet.until(db.now())) is None:
        return
    d = deliveries.c
    rows = waiting(db, channel.id, MOST_WAITING)
    held = [row.event_id for row in rows if channel.quiet.holds(read(row.told))]
    with db.writing() as connection:
        for first in range(0, len(held), AT_ONCE):
            mine = (d.channel_id == channel.id, d.event_id.in_(held[first : first + AT_ONCE]), _WAITS)
            values = {"held_until": until, "until": until + GIVEN_UP_AFTER}
            connection.execute(update(deliveries).where(*mine).values(values))


def latest(db: Database, channel_id: UUID, limit: int) -> list[DeliveryRow]:
    """Return the newest deliveries to a channel, newest first."""
    mine = deliveries.c.channel_id == channel_id
    query = _with_events().where(mine).order_by(deliveries.c.created_at.desc(), deliveries.c.event_id.desc())
    with db.reading() as connection:
        return [DeliveryRow(**row) for row in connection.execute(query.limit(limit)).mappings()]


def delivery(db: Database, channel_id: UUID, event_id: UUID) -> DeliveryRow | None:
    """Return one delivery; None where the event was not taken yet, or the channel did not want it."""
    mine = (deliveries.c.channel_id == channel_id, deliveries.c.event_id == event_id)
    with db.reading() as connection:
        row = connection.execute(_with_events().where(*mine)).mappings().one_or_none()
        return DeliveryRow(**row) if row else None


def _with_events() -> Any:
    d = deliveries.c
    told = func.coalesce(d.told, events.c.told).label("told")
    return select(*(column for column in d if column is not d.told), told).join(events, events.c.id == d.event_id)


def note_came(db: Database, channel_id: UUID, event_ids: Sequence[UUID], came: Came) -> None:
    """Write down what came of sending these events to a channel; who sends keeps it for a while longer."""
    d = deliveries.c
    with db.writing() as connection:
        now = db.moment(connection)
        mine = (d.channel_id == channel_id, d.event_id.in_(event_ids), _WAITS)
        values: dict[str, Any] = {"tries": d.tries + 1, "reason": prose(came.reason)}
        if came.sent in (Sent.TAKEN, Sent.REFUSED):
            state = DeliveryState.SENT if came.sent is Sent.TAKEN else DeliveryState.GIVEN_UP
            values |= {"state": state, "ended_at": now}
        count = connection.execute(update(deliveries).where(*mine).values(values)).rowcount
        given_up = _note_channel(connection, channel_id, came, now)
        match came.sent:
            case Sent.TAKEN:
                _count(connection, sent=count)
            case Sent.REFUSED:
                _count(connection, given_up=count)
            case Sent.LATER:
                _count(connection, failed=count)
            case Sent.GONE:
                _count(connection, given_up=given_up)


def _note_channel(connection: Connection, channel_id: UUID, came: Came, now: datetime) -> int:
    """Write down how the channel stands; return how many deliveries to it were given up."""
    c, given_up = channels.c, 0
    values: dict[str, Any] = {"leased_until": now + LEASE}
    match came.sent:
        case Sent.TAKEN:
            values |= {"failures": 0, "failing_since": None, "reason": "", "due_at": None, "sent_at": now}
            values |= {"in_a_row": _in_a_row(connection, channel_id, now)}
        case Sent.REFUSED:
            # It answers: what it says of one event says nothing of the next.
            values |= {"reason": prose(came.reason)}
        case Sent.LATER | Sent.GONE:
            failures = connection.execute(select(c.failures).where(c.id == channel_id)).scalar() or 0
            values |= {"failures": failures + 1, "failing_since": func.coalesce(c.failing_since, now)}
            values |= {"reason": prose(came.reason), "due_at": now + wait(failures + 1, came.again)}
    if came.sent is Sent.GONE:
        values["stopped_at"] = now
        ended = {"state": DeliveryState.GIVEN_UP, "ended_at": now, "reason": prose(came.reason)}
        rest = (deliveries.c.channel_id == channel_id, _WAITS)
        given_up = connection.execute(update(deliveries).where(*rest).values(ended)).rowcount
    connection.execute(update(channels).where(c.id == channel_id).values(values))
    return given_up


def _in_a_row(connection: Connection, channel_id: UUID, now: datetime) -> int:
    """Return how many messages in a row this one is: each came as soon as it might."""
    c = channels.c
    row = connection.execute(select(c.sent_at, c.in_a_row).where(c.id == channel_id)).one()
    before = row.in_a_row or 0
    return before + 1 if row.sent_at is not None and now - row.sent_at < 2 * gathering(before) else 1


def release_channel(db: Database, channel_id: UUID, *, gathers: bool = False) -> None:
    """Let others send to a channel; one that *gathers* and took something is left alone, so that what comes is one message."""
    c = channels.c
    with db.writing() as connection:
        connection.execute(update(channels).where(c.id == channel_id).values(leased_until=None))
        row = connection.execute(select(c.sent_at, c.in_a_row, c.due_at).where(c.id == channel_id)).one_or_none()
        if gathers and row is not None and row.sent_at is not None and row.due_at is None:
            due_at = row.sent_at + gathering(row.in_a_row or 0)
            connection.execute(update(channels).where(c.id == channel_id, c.due_at.is_(None)).values(due_at=due_at))


def retry_channel(db: Database, name: str, *, by: str, door: str) -> int:
    """Let what was given up wait again, and the channel be tried at once; return how much. Raise NotFound."""
    d = deliveries.c
    with db.writing() as connection:
        found = find_channel(connection, name, lock=True)
        now = db.moment(connection)
        mine = (d.channel_id == found["id"], among_states(d.state, [DeliveryState.GIVEN_UP]))
        again = {"state": DeliveryState.WAITING, "until": now + GIVEN_UP_AFTER, "ended_at": None}
        count = connection.execute(update(deliveries).where(*mine).values(again)).rowcount
        fresh = {"due_at": None, "stopped_at": None}
        connection.execute(update(channels).where(channels.c.id == found["id"]).values(fresh))
        details = {"deliveries": count}
        audit.note(connection, now, by=by, door=door, action="channel retry", subject=found["name"], details=details)
        return count


def ask_test(db: Database, name: str, *, by: str, door: str) -> UUID:
    """Let a test be sent to a channel, at once; return the id of its event. Raise NotFound."""
    with db.writing() as connection:
        found = find_channel(connection, name, lock=True)
        now = db.moment(connection)
        id = new_id()
        details = {"channel": found["name"]}
        kind = (EventType.TEST, Severity.INFO)
        tell(connection, [event(id=id, kind=kind, at=now, subject=found["name"], details=details)])
        connection.execute(update(channels).where(channels.c.id == found["id"]).values(due_at=None, stopped_at=None))
        audit.note(connection, now, by=by, door=door, action="channel test", subject=found["name"])
        return id
