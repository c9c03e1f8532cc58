"""Commands whose next message is due: each is looked at once more, and then ordered, released, or called off."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Select, Text, and_, case, cast, select

from fleet.history.ahead_mark import FETCHED, MARK, is_ahead, sent
from fleet.history.among import among
from fleet.history.fact_tables import commands
from fleet.history.inventory_tables import hosts
from fleet.history.json_text import of_json
from fleet.history.moves import STANDING, WHOLE, Command, HostTry, hosts_of, load_commands, save_commands, save_hosts
from fleet.history.outgoing import post_all, posted
from fleet.history.rollout_tables import rollouts
from fleet.history.stopping import shut, what_stops
from fleet.history.stops import holding, look
from fleet.road.messages import Cancel, Down, Go, Offer, Order
from fleet.rollouts.release import Answer, look_again
from fleet.rollouts.spec import RolloutSpec
from fleet.rollouts.states import HOST_STATE, CommandState, Hold, HostState, RolloutState

AGAIN: dict[CommandState, timedelta] = {
    CommandState.OFFERED: timedelta(seconds=60),
    CommandState.PULLING: timedelta(seconds=120),
    CommandState.APPLYING: timedelta(seconds=120),
}
"""When a message that was sent is sent again, where nothing has come back; twice as late each time."""

GRACE = timedelta(seconds=60)
"""What the centre waits longer than the host does by itself, so that the host's own word about its time comes first."""


_OFFERED = (CommandState.PENDING, CommandState.OFFERED)
"""The states in which the message that is due is an offer."""
_TOLD = (
    *STANDING,
    # An order is long, and goes into the message that it is alone; of who is ready it is asked what it was wanted for.
    case(
        (commands.c.state.in_((CommandState.CLAIMED, CommandState.PULLING)), commands.c.order),
        (
            and_(commands.c.state == CommandState.READY, commands.c.order[MARK].as_boolean().is_not(None)),
            commands.c.order,
        ),
    ).label("order"),
)


def due_commands(
    connection: Connection, now: datetime, look_again_at: datetime, limit: int
) -> list[tuple[Command, Down]]:
    """Move every due command on, and return those that have a message, with it: it is due again when nothing comes back.

    What can have none yet is due again at *look_again_at*.
    """
    due = (commands.c.ended_at.is_(None), commands.c.due_at <= now, commands.c.deadline > now)
    first = _first(connection, due, limit)
    if not first:
        return []
    # Before the commands are read: no stop may come between.
    look(connection)
    stops = holding(connection, now)
    told = select(*(WHOLE if stops else _TOLD), commands.c.sent).where(*due)
    looked, loaded = _in_hand(connection, told, first)
    if not loaded:
        looked, loaded = _in_hand_of_the_rest(connection, told, due, limit)
    if not loaded:
        return []
    stopped = what_stops(connection, loaded.values(), stops)
    specs = {id: RolloutSpec.parse(row.spec) for id, row in looked.items()}
    holds = {id: frozenset(Hold(hold) for hold in row.holds) for id, row in looked.items()}
    answers = {
        id: look_again(each.state, looked[each.rollout_id].state, holds[each.rollout_id], stopped=id in stopped)
        for id, each in loaded.items()
    }
    # An offer moves no host: it was dispatched with the command.
    tries = hosts_of(
        connection,
        (each for id, each in loaded.items() if answers[id] is not Answer.SEND or each.state not in _OFFERED),
    )
    ways_back = {id for id, rollout in looked.items() if rollout.way_back_of is not None}
    closed = shut(connection, loaded.values(), specs, now, ways_back)
    reads = _reads(connection, loaded.values())
    found: list[tuple[Command, Down]] = []
    cancels = []
    for command in loaded.values():
        rollout = looked[command.rollout_id]
        why = stopped.get(command.id) or _why(rollout.state)
        answer = answers[command.id]
        host = tries.get((command.rollout_id, command.host_id))
        if answer is Answer.SEND and command.state is CommandState.READY and is_ahead(command.order):
            # That is all that was wanted of it: the go comes with a command of its own, once its wave is opened.
            cancels.append(posted(command.host_id, Cancel(command=command.id, reason=FETCHED), now))
            _call_off(command, None, rollout.state, FETCHED, now)
        elif answer is Answer.SEND and command.id in closed:
            _wait_for_window(command, specs[command.rollout_id], now, look_again_at)
        elif answer is Answer.SEND:
            message = _send(command, host, specs[command.rollout_id], now)
            found.append((command, _bound(message, command, reads)))
        elif answer is Answer.WAIT:
            command.due(look_again_at)
        else:
            if command.state is not CommandState.PENDING:
                cancels.append(posted(command.host_id, Cancel(command=command.id, reason=why), now))
            _call_off(command, host, rollout.state, why, now)
    save_commands(connection, loaded.values())
    save_hosts(connection, tries.values())
    post_all(connection, cancels)
    return found


def _first(connection: Connection, due: Sequence[ColumnElement[bool]], limit: int) -> dict[UUID, UUID]:
    """Return the commands that are *due* first, each with its rollout; another sender may have them in hand."""
    query = select(commands.c.id, commands.c.rollout_id).where(*due).order_by(commands.c.due_at).limit(limit)
    return {row.id: row.rollout_id for row in connection.execute(query).all()}


_InHand = tuple[dict[UUID, Any], dict[UUID, Command]]
"""Rollouts and commands, locked."""


def _in_hand(connection: Connection, told: Select[Any], first: Mapping[UUID, UUID]) -> _InHand:
    """Take those of the *first* commands that nobody else has: by their ids, since what is sorted and counted out would carry
    all orders along.
    """
    looked = _shared(connection, set(first.values()))
    mine = told.where(commands.c.rollout_id.in_(list(looked)), among(connection, commands.c.id, first))
    return looked, load_commands(connection, mine.order_by(commands.c.id).with_for_update(skip_locked=True))


def _in_hand_of_the_rest(
    connection: Connection, told: Select[Any], due: Sequence[ColumnElement[bool]], limit: int
) -> _InHand:
    """Take what is behind the first of what is *due*, all of which others have."""
    looked = _shared(connection, select(commands.c.rollout_id).where(*due).distinct())
    mine = told.where(commands.c.rollout_id.in_(list(looked))).order_by(commands.c.due_at).limit(limit)
    return looked, load_commands(connection, mine.with_for_update(skip_locked=True))


def _shared(connection: Connection, ids: Collection[UUID] | Select[Any]) -> dict[UUID, Any]:
    """Return rollouts, locked: shared with other senders, and against those who hold or abort one meanwhile."""
    looked_at = (rollouts.c.id, rollouts.c.state, rollouts.c.holds, rollouts.c.spec, rollouts.c.way_back_of)
    query = select(*looked_at).where(rollouts.c.id.in_(ids)).order_by(rollouts.c.id)
    locked = query.with_for_update(read=True, skip_locked=True)
    return {row.id: row for row in connection.execute(locked).all()}


def call_off_now(connection: Connection, rollout_id: UUID, now: datetime) -> None:
    """Make every command of a rollout that was held or aborted due, so that the next tick looks at it again."""
    mine = (commands.c.rollout_id == rollout_id, commands.c.ended_at.is_(None))
    open_ = load_commands(connection, select(*STANDING).where(*mine).order_by(commands.c.id).with_for_update())
    for command in open_.values():
        if command.state is not CommandState.APPLYING:
            command.due(now)
    save_commands(connection, open_.values())


def _send(command: Command, host: HostTry | None, spec: RolloutSpec, now: datetime) -> Down:
    """Move a command to the state that its message means, and return the message."""
    match command.state:
        case CommandState.PENDING | CommandState.OFFERED:
            if command.state is CommandState.PENDING:
                command.move(CommandState.OFFERED, now, deadline=command.deadline)
            message: Down = Offer(command=command.id)
        case CommandState.CLAIMED | CommandState.PULLING:
            if command.state is CommandState.CLAIMED:
                over = now + timedelta(milliseconds=spec.tries.pull_timeout_ms) + GRACE
                _step(command, host, CommandState.PULLING, now, over)
            message = Order.model_validate(sent(command.order))
        case _:
            if command.state is CommandState.READY:
                over = now + timedelta(milliseconds=spec.tries.apply_timeout_ms) + GRACE
                _step(command, host, CommandState.APPLYING, now, over)
            message = Go(command=command.id)
    # With the row's move, so that no second write says that it was sent.
    command.tell(now, AGAIN[command.state])
    return message


def _bound(message: Down, command: Command, reads: Mapping[UUID, Sequence[int]]) -> Down:
    """Return a message as its host reads it: an offer is for any agent, what follows is for the one that answered."""
    return message.of_life(command.life, reads.get(command.host_id, ())) if command.life else message.of_nobody()


def _reads(connection: Connection, of: Iterable[Command]) -> dict[UUID, Sequence[int]]:
    """Return the versions of messages that the hosts read to which something is bound, as their last heartbeats told."""
    bound = {command.host_id for command in of if command.life}
    if not bound:
        return {}
    # As text: hosts tell of the same few lists, and each is read once.
    query = select(hosts.c.id, cast(hosts.c.reads, Text)).where(among(connection, hosts.c.id, bound))
    return {id: _versions(text) for id, text in connection.execute(query).all()}


@lru_cache(maxsize=256)
def _versions(text: str) -> tuple[int, ...]:
    return tuple(of_json(text))


def _step(command: Command, host: HostTry | None, state: CommandState, now: datetime, over: datetime | None) -> None:
    command.move(state, now, deadline=over)
    if host is not None and host.command_id == command.id and host.state is not HOST_STATE[state] and host.state.live:
        host.move(HOST_STATE[state], now)


def _wait_for_window(command: Command, spec: RolloutSpec, now: datetime, look_again_at: datetime) -> None:
    """Let the host keep its bytes and wait: that no window is open costs it neither its turn nor a try."""
    if command.state is CommandState.READY:
        command.until(now + timedelta(milliseconds=spec.tries.pull_timeout_ms))
    command.due(look_again_at)


def _call_off(command: Command, host: HostTry | None, rollout: RolloutState, why: str, now: datetime) -> None:
    """End a command that touched nothing: its host waits for another turn, or has none where the rollout is over."""
    mine = host is not None and host.command_id == command.id and host.state.live
    if host is not None and mine:
        end = HostState.PENDING if rollout is RolloutState.RUNNING else HostState.CANCELLED
        host.move(end, now, reason=why)
    command.move(CommandState.CANCELLED, now, reason=why)


def _why(rollout: RolloutState) -> str:
    return "the rollout is held" if rollout is RolloutState.RUNNING else f"the rollout is {rollout}"
