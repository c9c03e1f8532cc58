"""Commands whose next message is due, taken in hand: locked with their rollouts, so that no other sender has them too."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Select, and_, case, select

from fleet.history.commands.ahead_mark import MARK
from fleet.history.commands.moves import ORDER, STANDING, WHOLE, Command, load_commands
from fleet.history.rules.stops import StopRow, holding, look
from fleet.history.sql.among import among
from fleet.history.tables.facts import commands
from fleet.history.tables.rollouts import rollouts
from fleet.rollouts.spec import RolloutSpec
from fleet.rollouts.states import CommandState, Hold, RolloutState

_TOLD = (
    *STANDING,
    # An order is long, and goes into the message that it is alone; of who is ready it is asked what it was wanted for.
    case(
        (commands.c.state.in_((CommandState.CLAIMED, CommandState.PULLING)), ORDER),
        (
            and_(commands.c.state == CommandState.READY, commands.c.order[MARK].as_boolean().is_not(None)),
            ORDER,
        ),
    ).label(ORDER.name),
)

Due = Sequence[ColumnElement[bool]]
"""What makes a command one that is due."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What of a rollout decides about its messages."""

    state: RolloutState
    holds: frozenset[Hold]
    spec: RolloutSpec
    is_way_back: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class InHand:
    """Commands that are due, and all that none of them may be sent without a look at."""

    commands: Mapping[UUID, Command]
    rollouts: Mapping[UUID, Standing]
    """Those of the commands, at the least."""
    stops: list[StopRow]
    """Those that hold now."""


def take_in_hand(connection: Connection, now: datetime, limit: int) -> InHand | None:
    """Take commands that are due at *now*, at most *limit*; None where there are none, or others have all of them."""
    due = (commands.c.ended_at.is_(None), commands.c.due_at <= now, commands.c.deadline > now)
    first = _first(connection, due, limit)
    if not first:
        return None
    # Before the commands are read: no stop may come between.
    look(connection)
    stops = holding(connection, now)
    told = select(*(WHOLE if stops else _TOLD), commands.c.sent).where(*due)
    known, taken = _first_of_all(connection, told, first)
    if not taken:
        known, taken = _behind_them(connection, told, due, limit)
    return InHand(commands=taken, rollouts=known, stops=stops) if taken else None


def _first(connection: Connection, due: Due, limit: int) -> dict[UUID, UUID]:
    """Return the commands that are *due* first, each with its rollout; another sender may have them in hand."""
    query = select(commands.c.id, commands.c.rollout_id).where(*due).order_by(commands.c.due_at).limit(limit)
    return {row.id: row.rollout_id for row in connection.execute(query).all()}


_Locked = tuple[dict[UUID, Standing], dict[UUID, Command]]
"""Rollouts and commands."""


def _first_of_all(connection: Connection, told: Select[Any], first: Mapping[UUID, UUID]) -> _Locked:
    """Take those of the *first* commands that nobody else has: by their ids, since what is sorted and counted out would carry
    all orders along.
    """
    known = _shared(connection, set(first.values()))
    mine = told.where(commands.c.rollout_id.in_(list(known)), among(connection, commands.c.id, first))
    return known, load_commands(connection, mine.order_by(commands.c.id).with_for_update(skip_locked=True))


def _behind_them(connection: Connection, told: Select[Any], due: Due, limit: int) -> _Locked:
    """Take what is behind the first of what is *due*, all of which others have."""
    known = _shared(connection, select(commands.c.rollout_id).where(*due).distinct())
    mine = told.where(commands.c.rollout_id.in_(list(known))).order_by(commands.c.due_at).limit(limit)
    return known, load_commands(connection, mine.with_for_update(skip_locked=True))


def _shared(connection: Connection, ids: Collection[UUID] | Select[Any]) -> dict[UUID, Standing]:
    """Return rollouts, locked: shared with other senders, and against those who hold or abort one meanwhile."""
    looked_at = (rollouts.c.id, rollouts.c.state, rollouts.c.holds, rollouts.c.spec, rollouts.c.way_back_of)
    query = select(*looked_at).where(rollouts.c.id.in_(ids)).order_by(rollouts.c.id)
    locked = query.with_for_update(read=True, skip_locked=True)
    return {
        row.id: Standing(
            state=row.state,
            holds=frozenset(Hold(hold) for hold in row.holds),
            spec=RolloutSpec.parse(row.spec),
            is_way_back=row.way_back_of is not None,
        )
        for row in connection.execute(locked).all()
    }
