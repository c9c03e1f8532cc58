"""The records of the commands that are carried out: what is left of each, and how its outcomes are taken over."""

from collections.abc import Callable
from functools import partial
from uuid import UUID

from fleet.agent import machine
from fleet.agent.commands import Commands
from fleet.clock import Clock
from fleet.errors import BadInput
from fleet.road.messages import Outcome
from fleet.updates.command import Target, UpdateCommand, pull_key
from fleet.updates.journal import CommandEntry, Journal
from fleet.updates.outcome import PullOutcome, UpdateOutcome


class Stopped(Exception):
    """The process ends, or the command was cancelled: what is under way is left to be taken up or forgotten."""


class Records:
    """The commands of one host and their targets, as they are written down."""

    def __init__(self, commands: Commands, journal: Journal, put: Callable[[Outcome], None], clock: Clock) -> None:
        """Prepare; *put* takes an outcome to the outbox, and raises OSError where it is not on the disk."""
        self._commands, self._journal, self._put, self._clock = commands, journal, put, clock

    def left(self, command: UUID) -> tuple[Target, ...]:
        """Return the targets of a command that have no outcome yet; raise Stopped where it was cancelled."""
        entry = self.current(command)
        return entry.command.targets if entry.command else ()

    def current(self, command: UUID) -> CommandEntry:
        """Return a command's record as it is now; raise Stopped where it was cancelled."""
        entry = self._commands.wanted(command)
        if entry is None:
            raise Stopped
        return entry

    def siblings(self, command: UUID, target: Target) -> list[tuple[Target, PullOutcome]]:
        """Return the further targets that are left of a command, with their pulls."""
        pulls = self.current(command).pulls
        others = (other for other in self.left(command) if other.update_id != target.update_id)
        return [(other, pulls[pull_key(other)]) for other in others if pull_key(other) in pulls]

    def end(
        self, command: UUID, outcome: UpdateOutcome, pull: PullOutcome | None, target: Target | None, keep: bool = False
    ) -> None:
        """Take an outcome over: into the outbox, then out of the command, then out of the journal.

        In this order: wherever it is cut off, the next start has the outcome still, or once more, and never none.
        """
        entry = self._commands.wanted(command)
        fields = {"command": command, "outcome": outcome, "pull": pull, "finished_at": self._clock.now()}
        self._put(Outcome.read_in(entry.version if entry else 1, **fields))
        if target is not None:
            self._commands.change(command, partial(machine.without, ended=(target,), now=self._clock.now()))
        if not keep:
            self._journal.forget(outcome.update_id)


def order_of(entry: CommandEntry) -> UpdateCommand:
    """Return what was ordered; a command has it from the state ORDERED on."""
    if entry.command is None:
        raise BadInput(f"cannot work on command {entry.id}: its record holds no order")
    return entry.command


def reason_of(error: Exception) -> str:
    """Return what an outcome or a log says of *error*."""
    text = str(error)
    return text if text.startswith("cannot") else f"cannot go on: {type(error).__name__}: {text}"


def told(command: UUID, outcome: UpdateOutcome) -> dict[str, object]:
    """Return what a log line tells of an outcome."""
    return {
        "command": str(command),
        "container": outcome.container,
        "result": str(outcome.result),
        "reason": outcome.reason,
        "downtime_ms": outcome.downtime_ms,
    }
