"""The commands of this host: their records in the journal, changed by one thread at a time."""

import threading
from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from fleet.agent import machine
from fleet.agent.machine import CommandMessage, Step
from fleet.road.messages import Outcome
from fleet.updates.journal import CommandEntry, CommandState, Journal


class Commands:
    """The records, read once and written through; safe to use from several threads."""

    def __init__(self, journal: Journal) -> None:
        """Read what the journal holds; raise BadInput where it cannot be read."""
        self._journal = journal
        self._lock = threading.RLock()
        self._entries = {entry.id: entry for entry in journal.commands()}

    def receive(self, message: CommandMessage, now: datetime, put: Callable[[Outcome], None]) -> Step:
        """Let *message* change its command, on the disk before this returns; return what follows.

        Outcomes are *put* where they are safe before the record says that the command ended.
        """
        with self._lock:
            step = machine.step(message, self._entries.get(message.command), now)
            for outcome in step.outcomes:
                put(outcome)
            if step.entry is not None:
                self._save(step.entry)
            return step

    def change(self, id: UUID, change: Callable[[CommandEntry], CommandEntry]) -> CommandEntry | None:
        """Change a command that is being worked on; None where it was cancelled meanwhile, and stays so."""
        with self._lock:
            entry = self.wanted(id)
            if entry is None:
                return None
            changed = change(entry)
            self._save(changed)
            return changed

    def due(self) -> CommandEntry | None:
        """Return the command to be worked on next, or None."""
        with self._lock:
            return machine.due(self._sorted())

    def wanted(self, id: UUID) -> CommandEntry | None:
        """Return the record of a command, None where there is none or it was cancelled."""
        with self._lock:
            entry = self._entries.get(id)
            return None if entry is None or entry.cancelled else entry

    def in_state(self, state: CommandState) -> list[CommandEntry]:
        """Return the commands in *state*, the oldest id first."""
        with self._lock:
            return [entry for entry in self._sorted() if entry.state is state]

    def seen(self, message_id: UUID) -> bool:
        """Tell whether a message was taken before."""
        with self._lock:
            return self._journal.seen(message_id)

    def see(self, message_id: UUID) -> None:
        """Remember that a message was taken."""
        with self._lock:
            self._journal.see(message_id)

    def prune(self, now: datetime) -> None:
        """Forget what ended long ago."""
        with self._lock:
            for entry in machine.forgotten(self._sorted(), now):
                self._journal.forget_command(entry.id)
                del self._entries[entry.id]

    def _save(self, entry: CommandEntry) -> None:
        self._entries[entry.id] = self._journal.save_command(entry)

    def _sorted(self) -> list[CommandEntry]:
        return [self._entries[id] for id in sorted(self._entries)]
