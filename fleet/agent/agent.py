"""Every part of one agent put together, and the threads that take their steps. Only the queue is read elsewhere."""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from uuid import UUID, uuid4

from fleet.agent.centre_time import CentreTime
from fleet.agent.commands import Commands
from fleet.agent.courier import Courier
from fleet.agent.facts import Facts, ReadMirrors
from fleet.agent.heartbeat import EVERY_S, Reporter
from fleet.agent.identity import Identity
from fleet.agent.inventory import Inventory, watch
from fleet.agent.loop import Loop
from fleet.agent.outbox import Outbox
from fleet.agent.probing import Prober
from fleet.agent.problems import Problems
from fleet.agent.pulls import Pulls
from fleet.agent.receive import Reactions, Receiver
from fleet.agent.rekeying import Rekeying
from fleet.agent.resolve import Resolver
from fleet.agent.speaker import Speaker
from fleet.agent.watch import SILENCE_S, Watch
from fleet.agent.work import Ways, Workshop
from fleet.clock import Clock
from fleet.engine.protocol import Engine
from fleet.errors import EngineError, EngineUnreachable
from fleet.registry.credentials import CredentialSource
from fleet.road import worker
from fleet.road.join import JoinFile
from fleet.road.up import lets_in
from fleet.road.versions import Message
from fleet.updates.journal import Journal
from fleet.updates.known import KnownDigests
from fleet.updates.myself import own_id
from fleet.updates.own import OwnUpdate

log = logging.getLogger(__name__)

STOP_S = 60.0
"""How long the end waits for the container under way; what it does not wait for, the next start takes up."""
FLUSH_S = 3.0
"""How long the end waits for what is still to be sent; the outbox has it in any case."""
LISTEN_AGAIN_S = 15.0
"""The pause before the engine's events are asked for again when it was away."""
SILENT_EXIT = 8
"""The exit code of a process that the broker left alone, as of every command that finds a server away."""


class MakePulls(Protocol):
    """Makes what brings images to the engine."""

    def __call__(self, engine: Engine, state: Path, known: KnownDigests, facts: Facts) -> Pulls:
        """Return it; nothing is opened yet."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What an agent works with, so that tests can give it others."""

    connect: Callable[[], Engine]
    """Opens the engine; each thread has a connection of its own."""
    pulls: MakePulls
    credentials: CredentialSource
    read_mirrors: ReadMirrors
    clock: Clock
    journal: Callable[[Path], Journal] = Journal
    heartbeat_s: float = EVERY_S
    silence_s: float = SILENCE_S


class Agent:
    """The agent of one host."""

    def __init__(self, identity: Identity, state: Path, tools: Tools) -> None:
        """Put the parts together, and take up what an earlier agent wrote down; raise BadInput where that is broken."""
        self._identity, self._tools, self._problems = identity, tools, Problems()
        self._life = uuid4()
        self._speaker = Speaker(identity.current, tools.clock, self._life if identity.own else None)
        self._look, self._work, self._listen = (tools.connect() for _ in range(3))
        self._known = KnownDigests(state / "known.json")
        self._journal = tools.journal(state / "journal")
        self._commands = Commands(self._journal)
        self._outbox = Outbox(state / "outbox", clock=tools.clock, problems=self._problems)
        self._courier = Courier(self._say, self._outbox, self._commands, clock=tools.clock)
        self._facts = Facts(self._look, tools.read_mirrors, self._problems)
        self._pulls = tools.pulls(self._work, state, self._known, self._facts)
        self._resolver = Resolver(tools.credentials, self._facts, self._courier.say, clock=tools.clock)
        self._prober = Prober(tools.credentials, self._facts, self._courier.say, clock=tools.clock)
        self._reporter = self._made_reporter()
        self._workshop = self._made_workshop()
        self._time = CentreTime(state / "centre-time.json", tools.clock)
        self._receiver = self._made_receiver()
        self._rekeying = self._made_rekeying()
        self._courier_loop = Loop("courier", self._courier.step)
        self._report_loop = Loop("report", self._reporter.step)
        self._work_loop = Loop("work", self._workshop.step)
        self._resolve_loop = Loop("resolve", self._resolver.step)
        self._probe_loop = Loop("probe", self._prober.step)
        self._rekey_loop = Loop("rekey", self._rekeying.step)
        self._events_loop = Loop("events", self._hear_engine)
        self._watch_loop = Loop("watch", self._made_watch().step)
        self._courier.wake, self._resolver.wake = self._courier_loop.wake, self._resolve_loop.wake
        self._prober.wake = self._probe_loop.wake
        self._prober.looked = self._pulls.forget_strangers
        self._workshop.stopping = lambda: self._work_loop.stopping

    def start(self) -> None:
        """Begin: what was in flight is taken to its end, and the centre hears what runs here."""
        for loop in (
            self._work_loop,
            self._report_loop,
            self._courier_loop,
            self._resolve_loop,
            self._probe_loop,
            self._rekey_loop,
            self._events_loop,
            self._watch_loop,
        ):
            loop.start()

    @property
    def busy(self) -> bool:
        """Whether a command is under way."""
        return self._workshop.busy

    def receive(self, sealed: str) -> None:
        """Take one message from the queue."""
        self._receiver.receive(sealed)

    def reading(self) -> None:
        """Note that the queue begins to be read, at the start and after every loss of the broker."""
        log.info("queue is read", extra={"host": self._identity.host_id, "called": self._identity.current.host_name})
        self._time.reading()
        self._reporter.beat_now()
        self._report_loop.wake()
        self._courier.again()

    def stop(self) -> None:
        """End: let the container under way come to its end if it does so soon, send what is there, close everything."""
        self._work_loop.stop()
        if not self._work_loop.join(STOP_S):
            log.warning("work under way is left to the next start")
        others = (self._report_loop, self._resolve_loop, self._probe_loop, self._rekey_loop, self._events_loop)
        for loop in (self._watch_loop, *others):
            loop.stop()
        self._courier_loop.stop(once_more=True)
        self._courier_loop.join(FLUSH_S)
        for close in (self._pulls.close, self._speaker.close, self._listen.close, self._look.close, self._work.close):
            close()

    def _made_reporter(self) -> Reporter:
        inventory = Inventory(
            self._look,
            self._known,
            self._facts,
            self._courier.say,
            clock=self._tools.clock,
            problems=self._problems,
            images=self._journal.images,
        )
        return Reporter(
            say=self._courier.say,
            facts=self._facts,
            inventory=inventory,
            commands=self._commands,
            outbox=self._outbox,
            problems=self._problems,
            clock=self._tools.clock,
            every_s=self._tools.heartbeat_s,
        )

    def _made_workshop(self) -> Workshop:
        ways = Ways(
            put=self._courier.put,
            say=self._courier.say,
            ready=self._courier.wake_up,
            changed=self._snapshot_wanted,
        )
        return Workshop(
            self._work,
            self._journal,
            self._commands,
            self._pulls,
            self._known,
            ways,
            clock=self._tools.clock,
            problems=self._problems,
            own=OwnUpdate(self._journal.path.parent, own_id()),
        )

    def _made_receiver(self) -> Receiver:
        reactions = Reactions(
            say=self._courier.say,
            put=self._courier.put,
            receipt=self._courier.receipt,
            again=self._courier.again,
            work=self._wake_work,
            resolve=self._resolver.ask,
            send_snapshot=self._snapshot_wanted,
            probe=self._prober.ask,
        )
        return Receiver(
            self._identity.host_id,
            {key.kid: key for key in self._identity.current.centre_keys},
            self._commands,
            reactions,
            life=self._life,
            time=self._time,
            problems=self._problems,
            clock=self._tools.clock,
        )

    def _made_watch(self) -> Watch:
        return Watch(
            worker.last_heard,
            lambda: self._workshop.busy,
            lambda: os._exit(SILENT_EXIT),
            clock=self._tools.clock,
            silence_s=self._tools.silence_s,
        )

    def _made_rekeying(self) -> Rekeying:
        return Rekeying(
            self._identity,
            say=self._courier.say,
            lets_in=lets_in,
            use=self._use,
            clock=self._tools.clock,
            problems=self._problems,
        )

    def _say(self, message: Message, id: UUID | None) -> None:
        """Sign and send, as who this host is now; raise BadInput where it is too large, BrokerUnreachable."""
        self._speaker.say(message, id)

    def _use(self, own: JoinFile) -> None:
        """Be who *own* says, in what is signed from now on and in every new connection."""
        log.info("key and password are this host's own now", extra={"host": own.host_id, "key": own.key.kid})
        worker.log_in_as(own.broker)
        self._speaker, before = Speaker(own, self._tools.clock, self._life), self._speaker
        before.close()
        self._reporter.beat_now()
        self._report_loop.wake()

    def _wake_work(self) -> None:
        self._work_loop.wake()

    def _snapshot_wanted(self) -> None:
        self._reporter.inventory.ask()
        self._report_loop.wake()

    def _engine_changed(self) -> None:
        self._reporter.inventory.changed()
        self._report_loop.wake()

    def _hear_engine(self) -> float:
        """Listen to the engine until its events end; what was missed meanwhile is looked for."""
        self._engine_changed()
        try:
            watch(self._listen.events(), self._engine_changed, lambda: self._events_loop.stopping)
        except (EngineUnreachable, EngineError):
            # The heartbeat tells of an engine that is away.
            return LISTEN_AGAIN_S
        return 1.0
