"""Claims, readies and progress: what moves a command until its outcomes come."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from fleet.history.inbox.batch import Batch, Unusable
from fleet.history.inbox.pulls import take_pull
from fleet.history.sql.amounts import size
from fleet.history.sql.plain import name
from fleet.road.messages import Progress
from fleet.rollouts.states import HOST_STATE, CommandState
from fleet.updates.outcome import PullOutcome


def take_claim(batch: Batch, host_id: UUID, id: UUID, life: UUID | None = None) -> None:
    """The host wants a command, or wants its order again: the next tick looks, and answers to *life* alone."""
    command = batch.command(host_id, id)
    if command is None:
        batch.cancel(host_id, id, "the centre does not know this command")
        return
    if not command.state.ended:
        command.bind(life)
    match command.state:
        case CommandState.PENDING | CommandState.OFFERED:
            command.move(CommandState.CLAIMED, batch.now, deadline=command.deadline, due_at=batch.now)
        case CommandState.PULLING:
            # Its order was lost, or this is an old heartbeat; an order repeats harmlessly.
            command.due(batch.now)
        case CommandState.DONE | CommandState.EXPIRED | CommandState.CANCELLED:
            batch.cancel(host_id, id, command.reason or f"the command is {command.state}")
        case CommandState.CLAIMED | CommandState.READY | CommandState.APPLYING:
            pass


def take_ready(
    batch: Batch, host_id: UUID, id: UUID, pulls: Sequence[PullOutcome] = (), *, life: UUID | None = None
) -> None:
    """The host has the bytes and asks for the go: the next tick looks, and answers to *life* alone."""
    command = batch.command(host_id, id)
    if command is None:
        batch.cancel(host_id, id, "the centre does not know this command")
        return
    # Each once: to be told one pull a thousand times costs no more than to read it.
    if not all(take_pull(batch, command, pull) for pull in {pull.pull_id: pull for pull in reversed(pulls)}.values()):
        raise Unusable("cannot take it: it names a pull that is not of its command")
    if not command.state.ended:
        command.bind(life)
    match command.state:
        case CommandState.PULLING:
            waits = timedelta(milliseconds=batch.specs[command.rollout_id].tries.pull_timeout_ms)
            command.move(CommandState.READY, batch.now, deadline=batch.now + waits, due_at=batch.now)
            host = batch.tries.get((command.rollout_id, host_id))
            if host is not None and host.command_id == id and host.state.live:
                host.move(HOST_STATE[CommandState.READY], batch.now)
        case CommandState.APPLYING:
            # Its go was lost, or this is an old heartbeat; a go repeats harmlessly.
            command.due(batch.now)
        case CommandState.PENDING | CommandState.OFFERED:
            # The centre forgot that it had ordered: its database was brought back from a copy. So it orders again.
            take_claim(batch, host_id, id, life)
        case CommandState.EXPIRED | CommandState.CANCELLED:
            batch.cancel(host_id, id, command.reason or f"the command is {command.state}")
        case CommandState.CLAIMED | CommandState.READY | CommandState.DONE:
            pass


def take_progress(batch: Batch, host_id: UUID, message: Progress) -> None:
    """How far a live command is; the latest wins, and one that came too late is dropped."""
    command = batch.command(host_id, message.command)
    if command is None or command.state.ended:
        return
    batch.progress[command.id] = {
        "command_id": command.id,
        "host_id": host_id,
        "container": name(message.container),
        "phase": name(message.phase),
        "bytes": size(message.bytes),
        "total": size(message.total),
        "mirror": name(message.mirror),
        "at": batch.now,
    }
