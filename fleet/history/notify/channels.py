"""Channels: where people are told, as they were added, and how each does."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, RowMapping, delete, exists, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from fleet.errors import Refused
from fleet.history.noted import audit
from fleet.history.notify.links import revoke_links
from fleet.history.sql.among import among_states
from fleet.history.sql.database import Database
from fleet.history.sql.lookup import find
from fleet.history.tables.notify import channels as table
from fleet.history.tables.notify import deliveries
from fleet.history.tables.words import ChannelKind, DeliveryState
from fleet.ids import new_id
from fleet.notify.quiet import Quiet
from fleet.notify.rule import Rule
from fleet.notify.severity import Severity
from fleet.notify.template import Format, Template
from fleet.rollouts.selector import Selector

MOST_CHANNELS = 100
"""Each has a thread of the notifier while something is sent to it."""
_KEPT_BACK = (
    "sealed",
    "events",
    "severity",
    "selector",
    "leased_until",
    "in_a_row",
    "quiet_passes",
    "title_template",
    "body_template",
    "body_format",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelRow:
    """One channel, without its secrets."""

    id: UUID
    name: str
    kind: ChannelKind
    address: str
    """What may be shown of its URL."""
    rule: Rule
    created_by: str
    created_at: datetime
    failures: int
    failing_since: datetime | None
    reason: str
    due_at: datetime | None
    sent_at: datetime | None
    stopped_at: datetime | None
    quiet: Quiet = field(default_factory=Quiet)
    """When it is told only of what cannot wait."""
    template: Template = field(default_factory=Template)
    """Its own words."""
    links: bool = False
    """Whether its messages may hold links by which its readers answer."""
    waiting: int = 0
    """How many events wait to be sent to it."""
    given_up: int = 0
    """How many were given up, of those that are kept."""


def add_channel(
    db: Database,
    *,
    name: str,
    kind: ChannelKind,
    address: str,
    sealed: str,
    rule: Rule,
    quiet: Quiet | None = None,
    template: Template | None = None,
    links: bool = False,
    by: str,
    door: str,
) -> ChannelRow:
    """Add a channel; raise Refused where the name is taken, or there are too many."""
    with db.writing() as connection:
        now = db.moment(connection)
        if connection.execute(select(func.count()).select_from(table)).scalar_one() >= MOST_CHANNELS:
            raise Refused(
                f"cannot add the channel: there are {MOST_CHANNELS} already; remove one with: fleet notify rm"
            )
        row: dict[str, Any] = {
            "id": new_id(),
            "name": name,
            "kind": kind,
            "address": address,
            "sealed": sealed,
            "events": rule.events,
            "severity": rule.severity,
            "selector": rule.selector.document(),
            **_written_quiet(quiet or Quiet()),
            **_written_template(template or Template()),
            "links": links,
            "created_by": by,
            "created_at": now,
            "failures": 0,
            "reason": "",
        }
        try:
            connection.execute(insert(table).values(row))
        except IntegrityError:
            raise Refused(f"cannot add the channel: the name {name!r} is taken") from None
        details = {"kind": kind.value, "address": address, "events": list(rule.events), "selector": row["selector"]}
        details |= {"links": True} if links else {}
        audit.note(connection, now, by=by, door=door, action="channel add", subject=name, details=details)
        return _read(find_channel(connection, name), {})


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelChange:
    """What of a channel is to be another; None: it stays."""

    rule: Rule | None = None
    quiet: Quiet | None = None
    template: Template | None = None
    links: bool | None = None


def change_channel(db: Database, name: str, change: ChannelChange, *, by: str, door: str) -> ChannelRow:
    """Change a channel; what waits for the end of its quiet hours is looked at anew. Raise NotFound."""
    with db.writing() as connection:
        found = find_channel(connection, name, lock=True)
        mine = table.c.id == found["id"]
        values: dict[str, Any] = {}
        if change.rule is not None:
            values |= {"events": change.rule.events, "severity": change.rule.severity}
            values |= {"selector": change.rule.selector.document()}
        if change.quiet is not None:
            values |= _written_quiet(change.quiet)
            held = (deliveries.c.channel_id == found["id"], deliveries.c.held_until.is_not(None))
            connection.execute(update(deliveries).where(*held).values(held_until=None))
        if change.template is not None:
            values |= _written_template(change.template)
        if change.links is not None:
            values |= {"links": change.links}
            if not change.links:
                revoke_links(connection, found["id"])
        if values:
            connection.execute(update(table).where(mine).values(values))
        details = {part: list(value) if isinstance(value, tuple) else value for part, value in values.items()}
        now = db.moment(connection)
        audit.note(connection, now, by=by, door=door, action="channel edit", subject=found["name"], details=details)
        return _read(find_channel(connection, found["name"]), _counts(connection))


def _written_quiet(quiet: Quiet) -> dict[str, Any]:
    return {"quiet": quiet.document(), "quiet_passes": quiet.passes or ""}


def _written_template(template: Template) -> dict[str, Any]:
    return {
        "title_template": template.title,
        "body_template": template.body,
        "body_format": template.format.value,
    }


def any_channel(db: Database) -> bool:
    """Tell whether there is a channel at all."""
    with db.reading() as connection:
        return bool(connection.execute(select(exists().where(table.c.id.is_not(None)))).scalar())


def channels(db: Database) -> list[ChannelRow]:
    """Return every channel, by name."""
    with db.reading() as connection:
        return read_channels(connection)


def read_channels(connection: Connection) -> list[ChannelRow]:
    """Return every channel, by name, inside a transaction."""
    counts = _counts(connection)
    return [_read(row, counts) for row in connection.execute(select(table).order_by(table.c.name)).mappings()]


def channel(db: Database, name: str) -> ChannelRow:
    """Return one channel; raise NotFound."""
    with db.reading() as connection:
        return _read(find_channel(connection, name), _counts(connection))


def remove_channel(db: Database, name: str, *, by: str, door: str) -> None:
    """Remove a channel with all that waits for it; raise NotFound."""
    with db.writing() as connection:
        found = find_channel(connection, name, lock=True)
        connection.execute(delete(deliveries).where(deliveries.c.channel_id == found["id"]))
        revoke_links(connection, found["id"])
        connection.execute(delete(table).where(table.c.id == found["id"]))
        audit.note(connection, db.moment(connection), by=by, door=door, action="channel rm", subject=found["name"])


def find_channel(connection: Connection, name: str, *, lock: bool = False) -> RowMapping:
    """Return the row of a channel by its name or id; raise NotFound."""
    return find(connection, table, name, what="channel", name="name", lock=lock)


def rule_of(row: Any) -> Rule:
    """Return what the channel in *row* gets."""
    return Rule(events=row["events"], severity=row["severity"], selector=Selector.parse(row["selector"]))


def quiet_of(row: Any) -> Quiet:
    """Return the quiet hours of the channel in *row*."""
    passes = row["quiet_passes"]
    return Quiet.parse(row["quiet"], Severity.ERROR if passes is None else passes)


def template_of(row: Any) -> Template:
    """Return the words of its own that the channel in *row* has."""
    format = Format(row["body_format"] or Format.TEXT)
    return Template(title=row["title_template"] or "", body=row["body_template"] or "", format=format)


_Counts = dict[tuple[UUID, DeliveryState], int]


def _counts(connection: Connection) -> _Counts:
    d = deliveries.c
    found: _Counts = {}
    for state in (DeliveryState.WAITING, DeliveryState.GIVEN_UP):
        query = select(d.channel_id, func.count().label("counted")).where(among_states(d.state, [state]))
        rows = connection.execute(query.group_by(d.channel_id))
        found |= {(row.channel_id, state): row.counted for row in rows}
    return found


def _read(row: RowMapping, counts: _Counts) -> ChannelRow:
    values = {name: value for name, value in row.items() if name not in _KEPT_BACK}
    return ChannelRow(
        **values | {"quiet": quiet_of(row), "template": template_of(row), "links": bool(row["links"])},
        rule=rule_of(row),
        waiting=counts.get((row["id"], DeliveryState.WAITING), 0),
        given_up=counts.get((row["id"], DeliveryState.GIVEN_UP), 0),
    )
