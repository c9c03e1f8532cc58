"""Links in messages: made when the message is sent, looked at by whoever has one, and used once; only their hashes are here."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection, and_, delete, func, select, update

from fleet.history.commands.pinned import Brought, brought
from fleet.history.rollouts import people
from fleet.history.rollouts.people import Decide
from fleet.history.sql.database import Database
from fleet.history.sql.lookup import not_found
from fleet.history.sql.upsert import insert_new
from fleet.history.tables.notify import channels, events
from fleet.history.tables.notify import links as table
from fleet.history.tables.rollouts import rollouts, waves
from fleet.ids import new_id
from fleet.notify.links import LinkAct, LinkState
from fleet.rollouts import actions
from fleet.rollouts.states import Hold, RolloutState, WaveState

_GOES_ON = (RolloutState.PLANNED, RolloutState.RUNNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeLink:
    """One link that a message is to hold."""

    id: UUID
    act: LinkAct
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkRow:
    """One link with how it stands now, and what it is about."""

    id: UUID
    act: LinkAct
    state: LinkState
    sha256: str
    channel: str
    rollout_id: UUID
    rollout: int
    """The number of the rollout."""
    rollout_state: RolloutState
    wave: int
    """From 0."""
    waves: int
    """How many the rollout has."""
    hosts: int | None
    """How many hosts the wave has, where that is known."""
    approved_at: datetime | None
    """When the wave was approved; None: it was not."""
    expires_at: datetime
    used_at: datetime | None
    brought: Brought | None = None
    """What the wave brings; None where the link does nothing any more."""


def make_links(
    db: Database, channel_id: UUID, event_id: UUID, hashed: Callable[[UUID], str], lasts: timedelta
) -> list[MadeLink]:
    """Return the links for the message that tells a channel of an event, made where there are none yet.

    None where the channel may have none, or the rollout does not wait for this answer any more. One that is sent again after
    its time was over holds again.
    """
    mine = (table.c.channel_id == channel_id, table.c.event_id == event_id)
    with db.writing() as connection:
        may = select(channels.c.id).where(channels.c.id == channel_id, channels.c.links.is_(True)).with_for_update()
        of = select(events.c.rollout_id, events.c.details).where(events.c.id == event_id)
        event = connection.execute(of).one_or_none() if connection.execute(may).first() else None
        if event is None or not _waits(connection, event.rollout_id, event.details.get("wave")):
            return []
        now = db.moment(connection)
        about = {"channel_id": channel_id, "event_id": event_id, "rollout_id": event.rollout_id}
        times = {"created_at": now, "expires_at": now + lasts, "used_at": None}
        rows = [{"id": new_id(), "act": act, "wave": event.details["wave"], **about, **times} for act in LinkAct]
        rows = [{**row, "sha256": hashed(row["id"])} for row in rows]
        insert_new(connection, table, rows, ("channel_id", "event_id", "act"))
        over = and_(*mine, table.c.used_at.is_(None), table.c.expires_at <= now)
        connection.execute(update(table).where(over).values(expires_at=now + lasts))
        query = select(table.c.id, table.c.act, table.c.expires_at).where(*mine, table.c.used_at.is_(None))
        return [MadeLink(**row) for row in connection.execute(query.order_by(table.c.id)).mappings()]


def link(db: Database, id: UUID) -> LinkRow | None:
    """Return one link; None where there is none, or its channel may have none any more."""
    with db.reading() as connection:
        return _read(connection, id, db.moment(connection))


def use_link(db: Database, id: UUID, *, door: str) -> tuple[LinkRow, bool]:
    """Do what a link does, unless it does nothing any more; return it as it was found, and whether it was done.

    Raise NotFound, and Refused where the rollout cannot take this answer.
    """
    with db.writing() as connection:
        rollout_id = connection.execute(select(table.c.rollout_id).where(table.c.id == id)).scalar()
        if rollout_id is None:
            raise not_found("link", id)
        # Nobody else answers for the rollout from here on.
        row, now = people.locked(connection, rollout_id, db)
        found = _read(connection, id, now)
        if found is None:
            raise not_found("link", id)
        if found.state is not LinkState.OPEN:
            return found, False
        connection.execute(update(table).where(table.c.id == id).values(used_at=now))
        kind, decide = _answer(found)
        people.act(
            connection,
            row,
            now,
            kind,
            decide,
            by=f"channel:{found.channel}",
            door=door,
            reason="by a link in a message" if found.act is LinkAct.ABORT else "",
            noted={"channel": found.channel, "link": str(id)},
        )
        return found, True


def revoke_links(connection: Connection, channel_id: UUID) -> None:
    """Let no link of a channel do anything any more."""
    connection.execute(delete(table).where(table.c.channel_id == channel_id))


def _answer(found: LinkRow) -> tuple[str, Decide]:
    match found.act:
        case LinkAct.APPROVE:
            return "approved", lambda facts, _: actions.approve(facts, found.wave)
        case LinkAct.ABORT:
            return "aborted", lambda facts, _: actions.abort(facts, "by a link in a message")


def _waits(connection: Connection, rollout_id: UUID | None, wave: int | None) -> bool:
    """Tell whether a rollout waits for the approval of this wave now."""
    if rollout_id is None or wave is None:
        return False
    query = select(rollouts.c.state, rollouts.c.holds, waves.c.state.label("wave_state"), waves.c.approved_at)
    mine = and_(waves.c.rollout_id == rollouts.c.id, waves.c.number == wave)
    row = connection.execute(query.join(waves, mine).where(rollouts.c.id == rollout_id)).one_or_none()
    return row is not None and _is_asked(row.state, row.holds, row.wave_state, row.approved_at)


def _is_asked(state: RolloutState, holds: Iterable[str], wave: WaveState, approved_at: datetime | None) -> bool:
    asked = state in _GOES_ON and Hold.APPROVAL in holds
    return asked and wave is WaveState.PENDING and approved_at is None


def _read(connection: Connection, id: UUID, now: datetime) -> LinkRow | None:
    # Its own waves, and not the one that is joined.
    counted = select(func.count()).select_from(waves).where(waves.c.rollout_id == table.c.rollout_id)
    of_rollout = counted.correlate(table).scalar_subquery()
    mine = and_(waves.c.rollout_id == table.c.rollout_id, waves.c.number == table.c.wave)
    query = (
        select(
            *(table.c[name] for name in ("id", "act", "sha256", "rollout_id", "wave", "expires_at", "used_at")),
            channels.c.name.label("channel"),
            rollouts.c.number.label("rollout"),
            rollouts.c.state.label("rollout_state"),
            rollouts.c.holds,
            waves.c.state.label("wave_state"),
            waves.c.approved_at,
            waves.c.hosts,
            of_rollout.label("waves"),
        )
        .join(channels, and_(channels.c.id == table.c.channel_id, channels.c.links.is_(True)))
        .join(rollouts, rollouts.c.id == table.c.rollout_id)
        .join(waves, mine)
        .where(table.c.id == id)
    )
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        return None
    asked = _is_asked(row["rollout_state"], row["holds"], row["wave_state"], row["approved_at"])
    told = {name: value for name, value in row.items() if name not in ("holds", "wave_state")}
    state = _state(row["used_at"], row["expires_at"], now, asked=asked)
    brings = brought(connection, row["rollout_id"], row["wave"]) if state is LinkState.OPEN else None
    return LinkRow(**told, state=state, brought=brings)


def _state(used_at: datetime | None, expires_at: datetime, now: datetime, *, asked: bool) -> LinkState:
    if used_at is not None:
        return LinkState.USED
    if not asked:
        return LinkState.OVERTAKEN
    return LinkState.EXPIRED if expires_at <= now else LinkState.OPEN
