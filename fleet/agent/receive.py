"""Takes one signed message from the queue: prove it, write down what follows, and be done; nothing here waits."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from uuid import UUID

from fleet.agent.centre_time import EPOCH, CentreTime
from fleet.agent.commands import Commands
from fleet.agent.machine import CommandMessage
from fleet.agent.problems import Problems
from fleet.clock import Clock
from fleet.errors import Untrusted
from fleet.road.envelope import Opened, open_down
from fleet.road.keys import PublicKey
from fleet.road.messages import Cancel, Down, Go, Offer, Order, Outcome, Probe, Receipt, Resolve, SendSnapshot, Up

log = logging.getLogger(__name__)

EXPIRED, SKEW = "message-expired", "clock-skew"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reactions:
    """What a message may set going; each returns at once."""

    say: Callable[[Up], None]
    put: Callable[[Outcome], None]
    receipt: Callable[[UUID], None]
    again: Callable[[], None]
    work: Callable[[], None]
    resolve: Callable[[Resolve], None]
    send_snapshot: Callable[[], None]
    probe: Callable[[Probe], None]


class Receiver:
    """The one task of this host's worker; called by one thread."""

    def __init__(
        self,
        host_id: str,
        keys: Mapping[str, PublicKey],
        commands: Commands,
        reactions: Reactions,
        *,
        life: UUID | None = None,
        time: CentreTime,
        problems: Problems,
        clock: Clock,
    ) -> None:
        """Take messages for *host_id* that one of *keys* signed; of orders and gos those that are bound to *life*."""
        self._life = life
        self._host_id, self._keys, self._commands, self._do = host_id, keys, commands, reactions
        self._time, self._problems, self._clock = time, problems, clock

    def receive(self, sealed: str) -> None:
        """Take one message; what cannot be trusted is told in the log and forgotten."""
        try:
            self._take(open_down(sealed, keys=self._keys, host_id=self._host_id, now=EPOCH))
        except Untrusted as error:
            log.warning("message refused", extra={"reason": str(error)})
        finally:
            self._time.done()

    def _take(self, opened: Opened[Down]) -> None:
        # The message's own time is part of the proof of what time it is, so its expiry is judged here.
        fields = {"kind": opened.message.kind, "id": str(opened.id)}
        if not self._time.accepts(opened.issued_at, opened.expires_at):
            self._problems.raise_(EXPIRED, self._expired(opened))
            log.warning("message refused", extra={**fields, "reason": "it has expired"})
            return
        self._problems.clear(EXPIRED)
        self._tell_skew()
        if self._commands.seen(opened.id):
            log.info("message came again", extra=fields)
            return
        self._carry_out(opened.message)
        # Last, so that a message whose effect was cut off is taken again.
        self._commands.see(opened.id)

    def _carry_out(self, message: Down) -> None:
        match message:
            case Offer() | Order() | Go() | Cancel():
                self._move(message)
            case Receipt():
                for id in message.ids:
                    self._do.receipt(id)
            case Resolve():
                self._do.resolve(message)
            case Probe():
                self._do.probe(message)
            case SendSnapshot():
                self._do.send_snapshot()

    def _move(self, message: CommandMessage) -> None:
        if isinstance(message, Order | Go) and message.life not in (None, self._life):
            # Of this agent's last life, and then its heartbeat has asked again; or of another machine's agent.
            log.info("message is for another agent of this host", extra={"command": str(message.command)})
            return
        step = self._commands.receive(message, self._clock.now(), self._do.put)
        state = str(step.entry.state) if step.entry else "unchanged"
        log.info("message taken", extra={"kind": message.kind, "command": str(message.command), "state": state})
        if step.note:
            log.warning(step.note, extra={"command": str(message.command)})
        for up in step.say:
            self._do.say(up)
        if step.again:
            self._do.again()
        if step.entry is not None:
            self._do.work()

    def _expired(self, opened: Opened[Down]) -> str:
        return (
            f"cannot take a message that expired at {opened.expires_at:%Y-%m-%d %H:%M:%S}: by what the centre signed"
            f" before it is {self._time.now():%Y-%m-%d %H:%M:%S}; was the centre's clock set back?"
        )

    def _tell_skew(self) -> None:
        if self._time.skewed:
            self._problems.raise_(SKEW, self._time.skewed)
        elif self._time.skew_s is not None:
            self._problems.clear(SKEW)
