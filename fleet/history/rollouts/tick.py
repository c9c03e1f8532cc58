"""What the planner does in SQL, a few seconds apart: advance rollouts, expire commands, hand out what is to be sent."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection, Text, cast, delete, func, or_, select, update

from fleet.history.noted.outgoing import post_all, posted
from fleet.history.rollouts import advancing, expiring, sending
from fleet.history.rollouts.caps import Sizes
from fleet.history.sql.among import among
from fleet.history.sql.database import Database
from fleet.history.tables.facts import commands
from fleet.history.tables.road import outbox
from fleet.history.tables.rollouts import rollouts
from fleet.road.messages import DOWN, Down, Offer, Receipt
from fleet.rollouts.states import CommandState

LEASE = timedelta(seconds=30)
"""How long what could not be sent waits to be tried again; and how long who took a message that belongs to no command has
time to send it."""


_COMMAND, _OUTBOX, _RECEIPT = "command", "outbox", "receipt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A message that is to be signed and sent now; others keep their hands off it for a while."""

    host_id: str
    """In hex."""
    message: Down
    token: str
    """What :func:`mark_sent` and :func:`put_back` know it by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advanced:
    """What became of a rollout at a tick."""

    changed: bool
    """Whether there was anything to do; there may be more."""
    offers: tuple[Outgoing, ...]
    """What is to be sent now to the hosts that were dispatched."""


def active_rollouts(db: Database) -> list[UUID]:
    """Return the rollouts that have not ended, oldest first."""
    query = select(rollouts.c.id).where(rollouts.c.ended_at.is_(None)).order_by(rollouts.c.id)
    with db.reading() as connection:
        return list(connection.execute(query).scalars())


def advance_rollout(db: Database, rollout_id: UUID, sizes: Sizes | None = None) -> Advanced:
    """Carry out what the rollout does next, until there is nothing more now; nothing where another planner is at it.

    One transaction, with which the offers to hosts that were dispatched count as sent, as :func:`due_messages` says. Where many
    were, there may be more to do. *sizes* hold what was counted for caps before, in the same tick.
    """
    with db.writing() as connection:
        rest = advancing.advance_to_rest(db, connection, rollout_id, {} if sizes is None else sizes)
    offers = [
        Outgoing(
            host_id=each.host_id.hex,
            # Any agent of the host may claim it.
            message=Offer(command=each.command).of_nobody(),
            token=_token(each.command, CommandState.OFFERED),
        )
        for each in rest.offered
    ]
    return Advanced(changed=rest.changed, offers=tuple(offers))


def expire(db: Database) -> int:
    """End the commands whose time is over, with what follows for their hosts; return how many."""
    with db.writing() as connection:
        return expiring.expire_due(connection, db.moment(connection))


def due_messages(db: Database, limit: int = 500) -> list[Outgoing]:
    """Return messages to send now, at most *limit*.

    Every order and every go is looked at once more: it goes out only while its rollout runs and is not held. A command's
    message counts as sent from now on, and is due again when nothing has come back, whether it was lost in a crash or on
    its way; and so does a receipt, which its host asks for by saying the outcome again. Any other is due again after the lease
    where it was not marked as sent. Each message is harmless twice.
    """
    with db.writing() as connection:
        now = db.moment(connection)
        # Commands first: calling one off may post its cancellation.
        moved = sending.due_commands(connection, now, now + LEASE, limit)
        found = [
            Outgoing(host_id=command.host_id.hex, message=message, token=_token(command.id, command.state))
            for command, message in moved
        ]
        return found + _posted(connection, now, limit - len(found))


def _token(command: UUID, state: CommandState) -> str:
    return f"{_COMMAND} {command.hex} {state}"


def _posted(connection: Connection, now: datetime, limit: int) -> list[Outgoing]:
    free = or_(outbox.c.leased_until.is_(None), outbox.c.leased_until <= now)
    # As text: read at once as the message that it is.
    query = select(outbox.c.id, outbox.c.host_id, cast(outbox.c.body, Text)).where(free)
    query = query.order_by(outbox.c.created_at).limit(max(limit, 0)).with_for_update(skip_locked=True)
    told = [(id, host_id, DOWN.validate_json(body)) for id, host_id, body in connection.execute(query).all()]
    confirmed = [id for id, _, message in told if isinstance(message, Receipt)]
    if confirmed:
        connection.execute(delete(outbox).where(among(connection, outbox.c.id, confirmed)))
    if len(confirmed) < len(told):
        leased = [id for id, _, message in told if not isinstance(message, Receipt)]
        taken = update(outbox).where(among(connection, outbox.c.id, leased))
        connection.execute(taken.values(leased_until=now + LEASE, sent=outbox.c.sent + 1))
    return [
        Outgoing(
            host_id=host_id.hex,
            message=message,
            token=f"{_RECEIPT if isinstance(message, Receipt) else _OUTBOX} {id.hex}",
        )
        for id, host_id, message in told
    ]


def mark_sent(db: Database, outgoing: Sequence[Outgoing]) -> None:
    """Write down that these were put into the queues of their hosts; of commands and receipts that is written already."""
    gone = [UUID(each.token.split()[1]) for each in outgoing if each.token.startswith(_OUTBOX)]
    if gone:
        with db.writing() as connection:
            connection.execute(delete(outbox).where(among(connection, outbox.c.id, gone)))


def put_back(db: Database, outgoing: Sequence[Outgoing]) -> None:
    """Let these be due again soon: they could not be put into the queues of their hosts."""
    if not outgoing:
        return
    told: dict[CommandState, list[UUID]] = defaultdict(list)
    for each in outgoing:
        kind, id, *rest = each.token.split()
        if kind == _COMMAND:
            told[CommandState(*rest)].append(UUID(id))
    with db.writing() as connection:
        soon = db.moment(connection) + LEASE
        _lock(connection, [id for ids in told.values() for id in ids])
        c = commands.c
        receipts = [each for each in outgoing if each.token.startswith(_RECEIPT)]
        again = [posted(UUID(each.host_id), each.message, soon - LEASE) | {"leased_until": soon} for each in receipts]
        post_all(connection, again)
        for state, ids in told.items():
            # What moved on meanwhile, or is due sooner, has a message of its own to wait for.
            waits = (among(connection, c.id, ids), c.state == state, c.due_at > soon)
            connection.execute(update(commands).where(*waits).values(sent=c.sent - 1, due_at=soon))


def _lock(connection: Connection, ids: Sequence[UUID]) -> None:
    """Lock commands in the order in which all do; on SQLite whoever writes has everything locked."""
    if ids and connection.dialect.name == "postgresql":
        query = select(commands.c.id).where(among(connection, commands.c.id, ids)).order_by(commands.c.id)
        connection.execute(select(func.count()).select_from(query.with_for_update().subquery()))
