"""Deliveries: each event that a channel wants is sent to it until it is taken or given up.

What was sent is noted afterwards: who dies between the two sends it again, under the same id, and nothing is lost.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, and_, exists, func, or_, select, update

from fleet.history.noted import audit
from fleet.history.noted.counting import Counted, Tally
from fleet.history.noted.events import event, tell
from fleet.history.notify.channels import find_channel, quiet_of, template_of
from fleet.history.sql.among import among_states
from fleet.history.sql.database import Database
from fleet.history.sql.plain import prose
from fleet.history.tables.notify import channels, deliveries, events
from fleet.history.tables.words import ChannelKind, DeliveryState
from fleet.ids import new_id
from fleet.notify.events import EventType, read
from fleet.notify.quiet import Quiet
from fleet.notify.sent import Came, Sent
from fleet.notify.severity import Severity
from fleet.notify.template import Template
from fleet.notify.waits import GIVEN_UP_AFTER, gathering, wait

_AT_ONCE = 200
"""How many are written by one statement."""
LEASE = timedelta(minutes=2)
"""How long who sends has a channel for itself; longer than one sending may take."""
WAITS = among_states(deliveries.c.state, [DeliveryState.WAITING])
"""What is true of deliveries that are still to be sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DueChannel:
    """A channel to which something is to be sent now, taken for a while."""

    id: UUID
    name: str
    kind: ChannelKind
    sealed: str
    quiet: Quiet
    template: Template
    links: bool
    """Whether its messages may hold links by which its readers answer."""


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


def give_up_old(db: Database) -> int:
    """Give up what was tried for long enough; return how much."""
    d = deliveries.c
    old = (WAITS, d.until <= db.now())
    with db.reading() as connection:
        # Mostly there is none, and nobody is to wait for that.
        if not connection.execute(select(exists().where(*old))).scalar():
            return 0
    with db.writing() as connection:
        values = {"state": DeliveryState.GIVEN_UP, "ended_at": db.moment(connection)}
        count = connection.execute(update(deliveries).where(*old).values(values)).rowcount
        count_outcomes(connection, given_up=count)
        return count


def count_outcomes(connection: Connection, **outcomes: int) -> None:
    """Count what came of deliveries, by the word of the metric."""
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
        return DueChannel(**parts, quiet=quiet_of(row), template=template_of(row), links=bool(row["links"]))


def _due(now: datetime) -> tuple[Any, ...]:
    c, d = channels.c, deliveries.c
    waits = exists().where(d.channel_id == c.id, WAITS, _free(now))
    free = or_(c.leased_until.is_(None), c.leased_until <= now)
    return c.stopped_at.is_(None), or_(c.due_at.is_(None), c.due_at <= now), free, waits


def _free(now: datetime) -> Any:
    """Return what is true of deliveries that no quiet hours hold."""
    return or_(deliveries.c.held_until.is_(None), deliveries.c.held_until <= now)


def waiting(db: Database, channel_id: UUID, limit: int | None) -> list[DeliveryRow]:
    """Return what waits for a channel and may be sent, oldest first; with None as *limit* all, some thousands at most."""
    d = deliveries.c
    with db.reading() as connection:
        mine = and_(d.channel_id == channel_id, WAITS, _free(db.moment(connection)))
        query = _with_events().where(mine).order_by(d.created_at, d.event_id).limit(limit)
        return [DeliveryRow(**row) for row in connection.execute(query).mappings()]


def hold_quiet(db: Database, channel: DueChannel) -> None:
    """Let what can wait for the end of a channel's quiet hours wait, where they hold now; it is tried as long as ever from then."""
    if (until := channel.quiet.until(db.now())) is None:
        return
    d = deliveries.c
    rows = waiting(db, channel.id, None)
    held = [row.event_id for row in rows if channel.quiet.holds(read(row.told))]
    with db.writing() as connection:
        for first in range(0, len(held), _AT_ONCE):
            mine = (d.channel_id == channel.id, d.event_id.in_(held[first : first + _AT_ONCE]), WAITS)
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
        mine = (d.channel_id == channel_id, d.event_id.in_(event_ids), WAITS)
        values: dict[str, Any] = {"tries": d.tries + 1, "reason": prose(came.reason)}
        if came.sent in (Sent.TAKEN, Sent.REFUSED):
            state = DeliveryState.SENT if came.sent is Sent.TAKEN else DeliveryState.GIVEN_UP
            values |= {"state": state, "ended_at": now}
        count = connection.execute(update(deliveries).where(*mine).values(values)).rowcount
        given_up = _note_channel(connection, channel_id, came, now)
        match came.sent:
            case Sent.TAKEN:
                count_outcomes(connection, sent=count)
            case Sent.REFUSED:
                count_outcomes(connection, given_up=count)
            case Sent.LATER:
                count_outcomes(connection, failed=count)
            case Sent.GONE:
                count_outcomes(connection, given_up=given_up)


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
        rest = (deliveries.c.channel_id == channel_id, WAITS)
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
