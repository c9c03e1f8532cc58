"""Carries to the centre what this host has to say: what must arrive again and again, all else once, while it is new."""

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import replace
from uuid import UUID

from fleet.agent import machine
from fleet.agent.backoff import Backoff
from fleet.agent.commands import Commands
from fleet.agent.outbox import Due, Outbox
from fleet.agent.progress import LatestProgress
from fleet.clock import Clock
from fleet.errors import BadInput, BrokerUnreachable
from fleet.road.messages import Claim, Heartbeat, Outcome, Probed, Progress, Resolved, Snapshot, Up
from fleet.road.versions import Message
from fleet.updates.journal import CommandState

log = logging.getLogger(__name__)

MOST_WAITING = 500
"""How many messages wait in memory for the broker; the oldest is dropped first, and a heartbeat makes it good."""
IDLE_S = 60.0
LONGEST_REASON = 2_000

Send = Callable[[Message, UUID | None], None]
"""Signs a message and appends it to the inbox, under an id where one is given."""


class Courier:
    """Everything that waits to be said; safe to use from several threads, sent by one."""

    def __init__(self, send: Send, outbox: Outbox, commands: Commands, *, clock: Clock) -> None:
        """Prepare to *send*; ``wake`` is set by the owner of the thread that takes the steps."""
        self._send, self._outbox, self._commands, self._clock = send, outbox, commands, clock
        self._lock = threading.Lock()
        self._once: OrderedDict[Hashable, Up] = OrderedDict()
        self._progress = LatestProgress(clock)
        self._ready: dict[UUID, Due] = {}
        self._backoff = Backoff(first_s=1.0, longest_s=30.0)
        self.wake: Callable[[], None] = lambda: None

    def say(self, message: Up) -> None:
        """Send *message* soon, and once; a newer one of its kind about the same thing takes its place."""
        with self._lock:
            if isinstance(message, Progress):
                self._progress.put(message)
            else:
                self._hold(message)
        self.wake()

    def put(self, outcome: Outcome) -> None:
        """Send *outcome* until its receipt; raise OSError where it is not on the disk, as the outbox does."""
        try:
            self._outbox.put(outcome)
        finally:
            with self._lock:
                self._progress.clear()
            self.wake()

    def receipt(self, update_id: UUID) -> None:
        """Send the outcome of an update no more."""
        if self._outbox.drop(update_id):
            log.info("outcome confirmed", extra={"update": str(update_id)})

    def again(self) -> None:
        """Send at once all that still waits for the centre's answer."""
        self._outbox.again()
        with self._lock:
            for due in self._ready.values():
                due.again()
        self.wake()

    def wake_up(self) -> None:
        """Let the next step be taken at once: a command became ready."""
        self.wake()

    def step(self) -> float:
        """Send what is due; return the seconds until the next is. Where the broker is away, everything is kept."""
        try:
            self._say_outcomes()
            self._say_ready()
            self._say_once()
            self._say_progress()
        except BrokerUnreachable as error:
            wait_s = self._backoff.next_s()
            log.warning("broker away", extra={"reason": str(error), "again_in_s": round(wait_s, 1)})
            return wait_s
        self._backoff.reset()
        with self._lock:
            next_s = min([self._progress.in_s(), IDLE_S, *(due.in_s() for due in self._ready.values())])
        return min(next_s, self._outbox.next_in_s())

    def _hold(self, message: Up) -> None:
        if isinstance(message, Snapshot):
            for key in [k for k, m in self._once.items() if isinstance(m, Snapshot) and m.hash != message.hash]:
                del self._once[key]
        key = _key(message)
        self._once.pop(key, None)
        self._once[key] = message
        while len(self._once) > MOST_WAITING:
            self._once.popitem(last=False)

    def _say_outcomes(self) -> None:
        for id, outcome in self._outbox.due():
            if self._sent(outcome, id) or self._sent(_shortened(outcome), id):
                self._outbox.said(outcome.outcome.update_id)
            else:
                self._outbox.drop(outcome.outcome.update_id)

    def _say_ready(self) -> None:
        waiting = {entry.id: entry for entry in self._commands.in_state(CommandState.READY)}
        with self._lock:
            self._ready = {id: self._ready.get(id) or Due(self._clock) for id in waiting}
            due = [id for id, each in self._ready.items() if not each.in_s()]
        for id in due:
            self._sent(machine.ready(waiting[id]))
            self._ready[id].said()

    def _say_once(self) -> None:
        while True:
            with self._lock:
                key, message = next(iter(self._once.items()), (None, None))
            if message is None:
                return
            self._sent(message)
            with self._lock:
                if self._once.get(key) is message:
                    del self._once[key]

    def _say_progress(self) -> None:
        with self._lock:
            progress = self._progress.take()
        if progress is not None:
            self._sent(progress)

    def _sent(self, message: Message, id: UUID | None = None) -> bool:
        """Send; tell False where it cannot be signed. Raise BrokerUnreachable."""
        try:
            self._send(message, id)
        except BadInput as error:
            log.error("message cannot be sent", extra={"reason": str(error)})
            return False
        return True


def _key(message: Up) -> Hashable:
    """Return what a message is about: of two with the same key the newer one is enough."""
    match message:
        case Claim():
            return "claim", message.command
        case Resolved() | Probed():
            return message.kind, message.request
        case Heartbeat():
            return "heartbeat"
        case Snapshot():
            return "snapshot", message.part
        case _:
            return message.model_dump_json()


def _shortened(outcome: Outcome) -> Outcome:
    """Return *outcome* without what may be large: what came of it must be told, how in every detail need not."""
    told = replace(outcome.outcome, config_diff=(), reason=outcome.outcome.reason[:LONGEST_REASON])
    return outcome.model_copy(update={"outcome": told, "pull": None})
