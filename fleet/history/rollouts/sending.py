"""Commands whose next message is due: each is looked at once more, and then ordered, released, or called off."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, select

from fleet.history.commands.ahead_mark import FETCHED, MARK, is_ahead, sent
from fleet.history.commands.moves import STANDING, Command, HostTry, hosts_of, load_commands, save_commands, save_hosts
from fleet.history.noted.outgoing import post_all, posted
from fleet.history.rollouts.in_hand import InHand, take_in_hand
from fleet.history.rollouts.readers import readers
from fleet.history.rollouts.stopping import shut, what_stops
from fleet.history.tables.facts import commands
from fleet.road.messages import Cancel, Down, Go, Offer, Order
from fleet.rollouts.release import Answer, look_again
from fleet.rollouts.spec import RolloutSpec
from fleet.rollouts.states import HOST_STATE, CommandState, HostState, RolloutState

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


def due_commands(
    connection: Connection, now: datetime, look_again_at: datetime, limit: int
) -> list[tuple[Command, Down]]:
    """Move every due command on, and return those that have a message, with it: it is due again when nothing comes back.

    What can have none yet is due again at *look_again_at*.
    """
    hand = take_in_hand(connection, now, limit)
    if hand is None:
        return []
    last_look = _LastLook(connection, hand, now, look_again_at)
    last_look.move_all_on()
    last_look.write(connection)
    return last_look.messages


class _LastLook:
    """Moves commands that are in hand on, one by one, after one look at all that decides about any of them.

    What is asked of each is asked once: to look an id up takes as long as most of what is done with it.
    """

    def __init__(self, connection: Connection, hand: InHand, now: datetime, look_again_at: datetime) -> None:
        """Look at stops, holds and windows, and read the hosts whose places move with their commands."""
        self._hand, self._now, self._look_again_at = hand, now, look_again_at
        in_hand = hand.commands.values()
        known = readers(connection, {command.host_id for command in in_hand})
        self._reads = {id: reader.reads for id, reader in known.items()}
        self._stopped = what_stops(connection, in_hand, hand.stops, {id for id, each in known.items() if each.refused})
        self._answers = [(command, self._answer(command)) for command in in_hand]
        self._places = hosts_of(
            connection, [command for command, answer in self._answers if _moves_its_host(command, answer)]
        )
        self._shut = shut(connection, in_hand, self._specs(), now, self._ways_back())
        self._cancels: list[dict[str, Any]] = []
        self.messages: list[tuple[Command, Down]] = []

    def move_all_on(self) -> None:
        """Give each command its message, let it wait, or call it off."""
        for command, answer in self._answers:
            self._move_on(command, answer)

    def _move_on(self, command: Command, answer: Answer) -> None:
        match answer:
            case Answer.SEND if command.state is CommandState.READY and is_ahead(command.order):
                # That is all that was wanted of it: the go comes with a command of its own, once its wave is opened.
                self._cancel(command, None, FETCHED)
            case Answer.SEND if self._shut and command.id in self._shut:
                _wait_for_window(command, self._spec(command), self._now, self._look_again_at)
            case Answer.SEND:
                message = _send(command, self._place(command), self._spec(command), self._now)
                self.messages.append((command, _bound(message, command, self._reads)))
            case Answer.WAIT:
                command.due(self._look_again_at)
            case Answer.CALL_OFF:
                self._cancel(command, self._place(command), self._why(command))

    def write(self, connection: Connection) -> None:
        """Write down what has moved, and what the hosts are told of it."""
        save_commands(connection, self._hand.commands.values())
        save_hosts(connection, self._places.values())
        post_all(connection, self._cancels)

    def _answer(self, command: Command) -> Answer:
        rollout = self._hand.rollouts[command.rollout_id]
        stopped = bool(self._stopped) and command.id in self._stopped
        return look_again(command.state, rollout.state, rollout.holds, stopped=stopped)

    def _cancel(self, command: Command, host: HostTry | None, why: str) -> None:
        """Call a command off, and tell the host of it that may have heard of it."""
        if command.state is not CommandState.PENDING:
            self._cancels.append(posted(command.host_id, Cancel(command=command.id, reason=why), self._now))
        _call_off(command, host, self._hand.rollouts[command.rollout_id].state, why, self._now)

    def _why(self, command: Command) -> str:
        state = self._hand.rollouts[command.rollout_id].state
        held = "the rollout is held" if state is RolloutState.RUNNING else f"the rollout is {state}"
        return self._stopped.get(command.id) or held

    def _place(self, command: Command) -> HostTry | None:
        return self._places.get((command.rollout_id, command.host_id))

    def _spec(self, command: Command) -> RolloutSpec:
        return self._hand.rollouts[command.rollout_id].spec

    def _specs(self) -> Mapping[UUID, RolloutSpec]:
        return {id: rollout.spec for id, rollout in self._hand.rollouts.items()}

    def _ways_back(self) -> Collection[UUID]:
        return {id for id, rollout in self._hand.rollouts.items() if rollout.is_way_back}


def _moves_its_host(command: Command, answer: Answer) -> bool:
    """Tell whether a host moves with its command; not with an offer: it was dispatched with the command."""
    return answer is not Answer.SEND or command.state not in _OFFERED


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
            message = _order(command)
        case _:
            if command.state is CommandState.READY:
                over = now + timedelta(milliseconds=spec.tries.apply_timeout_ms) + GRACE
                _step(command, host, CommandState.APPLYING, now, over)
            message = Go(command=command.id)
    # With the row's move, so that no second write says that it was sent.
    command.tell(now, AGAIN[command.state])
    return message


def _order(command: Command) -> Order:
    """Return the message that a command's order is: read as it is written, where it has no mark that is not sent."""
    if command.document and f'"{MARK}"' not in command.document:
        return Order.model_validate_json(command.document)
    return Order.model_validate(sent(command.order))


def _bound(message: Down, command: Command, reads: Mapping[UUID, Sequence[int]]) -> Down:
    """Return a message as its host reads it: an offer is for any agent, what follows is for the one that answered."""
    return message.of_life(command.life, reads.get(command.host_id, ())) if command.life else message.of_nobody()


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
