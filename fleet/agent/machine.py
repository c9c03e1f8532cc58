"""What a message from the centre does to a command on this host (pure): the record that follows, and what is said.

No step waits for an answer. Each message moves a command by one state at most, and a message that comes twice, or too
late, moves nothing: the record says how far the command is.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from fleet.errors import BadInput
from fleet.road.messages import Cancel, Claim, Go, Offer, Order, OrderTarget, Outcome, Ready, Up
from fleet.updates.command import Target, UpdateCommand, pull_key
from fleet.updates.journal import CommandEntry, CommandState
from fleet.updates.outcome import PullOutcome, Result, UpdateOutcome

CommandMessage = Offer | Order | Go | Cancel
"""The messages that name a command and move it."""

FINISHED_S = 7 * 86_400
"""How long a command that ended is remembered, so that an order which comes once more is known: far more than an order
holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What follows from a message."""

    entry: CommandEntry | None = None
    """The record as it must be written; None: it stays as it is."""
    say: tuple[Up, ...] = ()
    """What is told to the centre, at best once: losing it costs only time."""
    outcomes: tuple[Outcome, ...] = ()
    """What must reach the centre."""
    again: bool = False
    """Whether what still waits for the centre's answer is to be said at once again."""
    note: str = ""
    """What is odd about the message, for the log."""


def step(message: CommandMessage, entry: CommandEntry | None, now: datetime) -> Step:
    """Return what *message* does to *entry*, the record of its command (None: it is new here)."""
    match message:
        case Offer():
            return _offered(message, entry, now)
        case Order():
            return _ordered(message, entry, now)
        case Go():
            return _told_to_go(message, entry, now)
        case Cancel():
            return _cancelled(message, entry, now)


def begun(entry: CommandEntry) -> CommandEntry:
    """Return the record of a command when work on it begins once more."""
    return replace(entry, attempts=entry.attempts + 1)


def spared(entry: CommandEntry) -> CommandEntry:
    """Return the record of a command whose work was put off in good order: that spends no attempt."""
    return replace(entry, attempts=max(0, entry.attempts - 1))


def with_pull(entry: CommandEntry, *, key: str, pull: PullOutcome) -> CommandEntry:
    """Return the record after one pull."""
    return replace(entry, pulls=entry.pulls | {key: pull}, attempts=0)


def over(entry: CommandEntry, now: datetime) -> CommandEntry:
    """Return the record of a command of which nothing more is done."""
    return replace(entry, state=CommandState.DONE, changed_at=now)


def pulled(entry: CommandEntry, now: datetime) -> CommandEntry:
    """Return the record after every pull of its targets: ready for the go, or done where no target is left."""
    left = _targets(entry)
    return replace(entry, state=CommandState.READY if left else CommandState.DONE, attempts=0, changed_at=now)


def unsaid(entry: CommandEntry, now: datetime) -> CommandEntry:
    """Return the record of a command whose go was given to an agent that has ended: what is left of it asks once more.

    Hours may lie between; meanwhile a person may have held the rollout, or a window may have closed.
    """
    if entry.state is not CommandState.GOING:
        return entry
    state = CommandState.READY if _targets(entry) else CommandState.DONE
    return replace(entry, state=state, changed_at=now)


def without(entry: CommandEntry, ended: Sequence[Target], now: datetime) -> CommandEntry:
    """Return the record after *ended*: those targets have an outcome that is written down elsewhere."""
    gone = {target.update_id for target in ended}
    left = tuple(target for target in _targets(entry) if target.update_id not in gone)
    command = replace(entry.command, targets=left) if entry.command else None
    over = not left and entry.state is CommandState.GOING
    state = CommandState.DONE if over else entry.state
    return replace(entry, command=command, state=state, attempts=0, changed_at=now)


def due(entries: Sequence[CommandEntry]) -> CommandEntry | None:
    """Return the command to be worked on next: what was begun before what is only ordered, the oldest first."""
    for state in (CommandState.GOING, CommandState.ORDERED):
        for entry in entries:
            if entry.state is state:
                return entry
    return None


def ready(entry: CommandEntry) -> Ready:
    """Return what a command in the state READY has to say."""
    needed = {pull_key(target) for target in _targets(entry)}
    pulls = tuple(pull for key, pull in entry.pulls.items() if pull.ok and key in needed)
    return Ready.read_in(entry.version, command=entry.id, pulls=pulls)


def untouched(target: Target, result: Result, reason: str = "", *, pull: PullOutcome | None = None) -> UpdateOutcome:
    """Return the outcome of a target whose container was left as it was."""
    return UpdateOutcome(
        update_id=target.update_id,
        container=target.container,
        result=result,
        reason=reason,
        old_container_id=target.container_id,
        old_digest=str(target.old_digest or ""),
        new_digest=str(target.digest),
        old_image_id=target.image_id,
        new_image_id=pull.image_id if pull else "",
        pull_id=pull.pull_id if pull else None,
    )


def forgotten(entries: Sequence[CommandEntry], now: datetime) -> list[CommandEntry]:
    """Return the commands that need not be remembered any longer."""
    return [
        entry
        for entry in entries
        if entry.state in (CommandState.DONE, CommandState.OFFERED)
        and abs((now - entry.changed_at).total_seconds()) > FINISHED_S
    ]


def _offered(offer: Offer, entry: CommandEntry | None, now: datetime) -> Step:
    claim = (Claim(command=offer.command),)
    if entry is None:
        return Step(entry=CommandEntry(id=offer.command, state=CommandState.OFFERED, changed_at=now), say=claim)
    if entry.state in (CommandState.OFFERED, CommandState.ORDERED):
        return Step(say=claim)
    return Step(again=True)


def _ordered(order: Order, entry: CommandEntry | None, now: datetime) -> Step:
    if entry is not None and entry.state is not CommandState.OFFERED:
        return Step(again=True)
    try:
        command = _read(order)
    except BadInput as error:
        done = CommandEntry(id=order.command, state=CommandState.DONE, changed_at=now)
        return Step(entry=done, outcomes=tuple(_unreadable(order, target, error, now) for target in order.targets))
    taken = CommandEntry(id=order.command, state=CommandState.ORDERED, command=command, version=order.v, changed_at=now)
    return Step(entry=taken)


def _told_to_go(go: Go, entry: CommandEntry | None, now: datetime) -> Step:
    if entry is None:
        return Step(note="go for an unknown command")
    if entry.state is CommandState.READY:
        return Step(entry=replace(entry, state=CommandState.GOING, changed_at=now))
    if entry.state in (CommandState.OFFERED, CommandState.ORDERED):
        return Step(note="go before the bytes were there")
    return Step(again=True)


def _cancelled(cancel: Cancel, entry: CommandEntry | None, now: datetime) -> Step:
    reason = cancel.reason or "the centre cancelled it"
    if entry is None:
        # Its order may still be on the way.
        return Step(entry=CommandEntry(id=cancel.command, state=CommandState.DONE, cancelled=reason, changed_at=now))
    if entry.state is CommandState.GOING:
        return Step(note="cancelled too late, it is being carried out")
    if entry.state is CommandState.DONE:
        return Step()
    return Step(entry=replace(entry, state=CommandState.DONE, command=None, cancelled=reason, changed_at=now))


def _read(order: Order) -> UpdateCommand:
    """Return the command of *order*; raise BadInput where it names what cannot be."""
    command = order.update_command()
    for target in command.targets:
        if pull_key(target) not in command.pull_ids:
            raise BadInput(f"cannot carry the order out: it names no pull for {target.reference}")
    return command


def _unreadable(order: Order, target: OrderTarget, error: BadInput, now: datetime) -> Outcome:
    told = UpdateOutcome(
        update_id=target.update_id,
        container=target.container,
        result=Result.FAILED,
        reason=str(error),
        old_container_id=target.container_id,
        old_digest=target.old_digest,
        new_digest=target.digest,
        old_image_id=target.image_id,
    )
    return Outcome(command=order.command, outcome=told, finished_at=now)


def _targets(entry: CommandEntry) -> tuple[Target, ...]:
    return entry.command.targets if entry.command else ()
