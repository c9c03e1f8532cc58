"""A centre without SQL: it answers as the real one does, and remembers what hosts said."""

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import UUID, uuid4

from fleet.clock import Clock, SystemClock
from fleet.errors import BrokerUnreachable
from fleet.ids import new_id
from fleet.images.digest import Digest
from fleet.images.reference import Reference
from fleet.road.acl import AclKeeper, HostLogin, password_hash
from fleet.road.broker import BrokerAddress
from fleet.road.down import Sender
from fleet.road.envelope import CENTRE, Opened, open_up, seal
from fleet.road.join import JoinFile
from fleet.road.keys import PublicKey, SigningKey
from fleet.road.messages import Claim, Down, Go, Heartbeat, Offer, Order, Outcome, Ready, Receipt, Up
from fleet.road.up import InboxReader
from fleet.updates.command import Policy, Target, UpdateCommand, VerifyPolicy, pull_key

UpT = TypeVar("UpT", bound=Up)
FAST = Policy(verify=VerifyPolicy(settle_ms=50, deadline_ms=2_000))


@dataclass
class ScriptedCentre:
    """One centre and one host of it."""

    broker: BrokerAddress
    clock: Clock = field(default_factory=SystemClock)
    key: SigningKey = field(default_factory=SigningKey.generate)
    heard: list[Opened[Up]] = field(default_factory=list)
    orders: dict[UUID, Order] = field(default_factory=dict)
    going: bool = True
    """Whether the ready are told to go."""
    confirming: bool = True
    """Whether outcomes get their receipt."""
    deaf: int = 0
    """How many orders and gos are lost from here on."""

    def __post_init__(self) -> None:
        password = "secret"
        id = uuid4().hex
        self.join = JoinFile.make(
            host_id=id,
            host_name="berlin-1",
            broker=self.broker,
            password=password,
            centre_keys=(self.key.public,),
        )
        self.login = HostLogin(host_id=id, password_sha256=password_hash(password))
        self.let_in()
        self._sender = Sender(self.broker)
        self._reader = InboxReader(self.broker)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def let_in(self) -> None:
        """Let the host log in, as the centre does after every restart of the broker."""
        keeper = AclKeeper(self.broker)
        keeper.apply([self.login])
        keeper.close()

    def __enter__(self) -> "ScriptedCentre":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._sender.close()
        self._reader.close()

    def send(self, message: Down, *, ttl_s: int = 3600, key: SigningKey | None = None) -> None:
        """Sign *message* and put it into the host's queue."""
        sealed = seal(
            message,
            key=key or self.key,
            issuer=CENTRE,
            audience=self.join.host_id,
            clock=self.clock,
            ttl_s=ttl_s,
        )
        self._sender.send(self.join.host_id, sealed)

    def offer(self, *targets: Target, policy: Policy = FAST) -> UUID:
        """Offer a command; the order follows its claim."""
        pulls = {pull_key(target): new_id() for target in targets}
        command = UpdateCommand(id=new_id(), targets=targets, policy=policy, pull_ids=pulls)
        self.orders[command.id] = Order.of(command)
        self.send(Offer(command=command.id))
        return command.id

    def said(self, kind: type[UpT]) -> list[UpT]:
        """Return what the host said of one kind."""
        return [opened.message for opened in list(self.heard) if isinstance(opened.message, kind)]

    def outcomes(self, command: UUID) -> list[Outcome]:
        """Return the outcomes of a command, each as often as it was said."""
        return [outcome for outcome in self.said(Outcome) if outcome.command == command]

    def wait(self, until: Callable[[], object], within_s: float = 150.0) -> None:
        """Wait until something holds."""
        deadline = time.monotonic() + within_s
        while not until():
            if time.monotonic() > deadline:
                words = [opened.message.kind for opened in self.heard]
                raise AssertionError(f"it never came to it; the host said {words}")
            time.sleep(0.02)

    def _run(self) -> None:
        keys = {self.join.key.kid: (self.join.host_id, PublicKey.parse(str(self.join.key.public)))}
        while not self._stop.wait(0.02):
            with contextlib.suppress(BrokerUnreachable):
                raw = self._reader.peek(100)
                for each in raw:
                    opened = open_up(each.raw, keys=keys.get)
                    self.heard.append(opened)
                    self._answer(opened.message)
                self._reader.trim()

    def _answer(self, message: Up) -> None:
        match message:
            case Claim(command=command):
                self._order(command)
            case Heartbeat(claims=claims, ready=ready):
                for command in claims:
                    self._order(command)
                for command in ready:
                    self._go(command)
            case Ready(command=command):
                self._go(command)
            case Outcome(outcome=told) if self.confirming:
                self.send(Receipt(ids=(told.update_id,)))

    def _order(self, command: UUID) -> None:
        if command in self.orders and not self._lost():
            self.send(self.orders[command])

    def _go(self, command: UUID) -> None:
        if self.going and not self._lost():
            self.send(Go(command=command))

    def _lost(self) -> bool:
        if not self.deaf:
            return False
        self.deaf -= 1
        return True


def target(container: str, container_id: str, image_id: str, reference: str, digest: str) -> Target:
    """Return a target."""
    return Target(
        update_id=new_id(),
        container_id=container_id,
        container=container,
        image_id=image_id,
        reference=Reference.parse(reference),
        digest=Digest.parse(digest),
    )
