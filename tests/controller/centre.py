"""A centre in one process over real queues, and hosts whose every word the test speaks itself."""

import base64
import hashlib
import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

from fleet.clock import SystemClock
from fleet.controller import inventory, keys
from fleet.controller.flood import FloodGate
from fleet.controller.inbox import Inbox
from fleet.controller.planner import Planner, Ways
from fleet.controller.reconciler import Reconciler
from fleet.controller.resolving import Asking
from fleet.history.inbox import taking as history
from fleet.history.sql.database import Database
from fleet.registry.credentials import NoCredentials
from fleet.road.broker import BrokerAddress
from fleet.road.down import Sender
from fleet.road.envelope import CENTRE, Opened, open_down, seal
from fleet.road.keys import PublicKey, SigningKey
from fleet.road.messages import (
    Claim,
    Down,
    Heartbeat,
    HostFacts,
    Order,
    Outcome,
    Ready,
    Snapshot,
)
from fleet.road.names import acl_user, host_queue
from fleet.road.up import InboxReader, Uplink
from fleet.road.versions import VERSION, Message
from fleet.settings.centre import CentreSettings
from fleet.updates.outcome import PullOutcome, Result, Tier, UpdateOutcome
from fleet.updates.snapshot import ContainerState

BY, DOOR = "person:test", "test"
OLD, NEW = f"sha256:{'0' * 64}", f"sha256:{'1' * 64}"


class Inline:
    """Errands that are done at once."""

    def busy(self, name: str) -> bool:
        """Say no: nothing lasts."""
        return False

    def begin(self, name: str, work: Callable[[], object]) -> bool:
        """Do it now."""
        work()
        return True


class ScriptedHost:
    """One host: its own key, its own login at the broker, and no will of its own."""

    def __init__(self, host_id: UUID, broker: BrokerAddress, password: str, key: SigningKey, centre: PublicKey) -> None:
        self.id = host_id
        self.broker = broker.with_login(acl_user(host_id.hex), password)
        self.key = key
        self._centre = {centre.kid: centre}
        self._uplink = Uplink(self.broker, host_id.hex)
        self._client = self.broker.client()

    def say(self, message: Message, *, id: UUID | None = None) -> str:
        """Sign and send one message; return it as it was sent."""
        sealed = seal(message, key=self.key, issuer=self.id.hex, audience=CENTRE, clock=SystemClock(), id=id)
        self.say_raw(sealed)
        return sealed

    def say_raw(self, text: str) -> None:
        """Send what is given, signed or not."""
        self._uplink.send(text)

    def hear(self, seconds: float = 0.2, *, most: int | None = None) -> list[Opened[Down]]:
        """Take all that waits in the queue, waiting at most *seconds* for the first, and prove it.

        Who knows how *most* there is waits for no more: the broker looks ten times a second whose wait is over.
        """
        heard: list[Opened[Down]] = []
        while most is None or len(heard) < most:
            found = self._client.brpop([host_queue(self.id.hex)], timeout=min(0.01, seconds) if heard else seconds)
            if not found:
                break
            (sealed,), _, _ = json.loads(base64.b64decode(json.loads(found[1])["body"]))
            heard.append(open_down(sealed, keys=self._centre, host_id=self.id.hex, now=datetime.now(UTC)))
        return heard

    def words(self) -> list[str]:
        """Take all that waits, and return of which kinds it is."""
        return [opened.message.kind for opened in self.hear()]

    def snapshot(self, *containers: ContainerState) -> None:
        """Tell what runs here, with a heartbeat."""
        hash = hashlib.sha256(repr(containers).encode()).hexdigest()
        self.say(Snapshot(hash=hash, containers=containers))
        self.heartbeat(snapshot_hash=hash)

    def heartbeat(self, engine_id: str = "", **more: object) -> None:
        """Tell that it lives, with an engine of its own unless another is named."""
        facts = HostFacts(
            agent_version="0.1.0",
            engine_id=engine_id or f"engine-{self.id.hex}",
            engine_name="lab",
            os="linux",
            architecture="amd64",
        )
        self.say(Heartbeat(facts=facts, host_time=datetime.now(UTC), **more))

    def claim(self, command: UUID) -> None:
        """Say that it wants the command."""
        self.say(Claim(command=command))

    def ready(self, order: Order) -> None:
        """Say that the bytes are there."""
        self.say(Ready.read_in(VERSION, command=order.command, pulls=self.pulls(order)))

    def pulls(self, order: Order, *, ok: bool = True) -> tuple[PullOutcome, ...]:
        """Return the pulls of an order, as if they had been made."""
        return tuple(
            PullOutcome(
                pull_id=pull_id,
                reference=key,
                digest=key.partition("@")[2],
                ok=ok,
                tier=Tier.LOOPBACK,
                image_id=f"sha256:{'b' * 64}" if ok else "",
                bytes=1000,
                duration_ms=20,
            )
            for key, pull_id in order.pull_ids.items()
        )

    def outcomes(self, order: Order, result: Result = Result.UPDATED) -> list[Outcome]:
        """Return what came of the targets of an order, as if they had been recreated."""
        (pull, *_) = self.pulls(order)
        return [
            Outcome(
                command=order.command,
                outcome=UpdateOutcome(
                    update_id=target.update_id,
                    container=target.container,
                    result=result,
                    old_container_id=target.container_id,
                    new_container_id="d" * 64,
                    old_digest=target.old_digest,
                    new_digest=target.digest,
                    old_image_id=target.image_id,
                    new_image_id=f"sha256:{'b' * 64}",
                    pull_id=pull.pull_id,
                    downtime_ms=700,
                ),
                pull=pull,
                finished_at=datetime.now(UTC),
            )
            for target in order.targets
        ]

    def close(self) -> None:
        """Give the connections back."""
        self._uplink.close()
        self._client.close()


@dataclass
class Centre:
    """Everything central, to be moved step by step."""

    db: Database
    broker: BrokerAddress
    settings: CentreSettings
    key: SigningKey
    planner: Planner
    inbox: Inbox
    reader: InboxReader
    reconciler: Reconciler
    hosts: list[ScriptedHost]

    def add_host(self, name: str) -> ScriptedHost:
        """Enrol a host, which then speaks over its own login."""
        host = enrol(self.db, self.broker, self.key, name)
        self.hosts.append(host)
        return host

    def turn(self) -> None:
        """Take all that hosts wrote, then tick."""
        while self.inbox.step():
            pass
        self.planner.tick()


def enrol(db: Database, broker: BrokerAddress, centre: SigningKey, name: str) -> ScriptedHost:
    """Add a host as ``fleet host add`` does, and return it."""
    key, password = SigningKey.generate(), secrets.token_urlsafe(24)
    row = inventory.add_host(
        db,
        broker,
        name=name,
        labels={},
        public_key=str(key.public),
        password_sha256=hashlib.sha256(password.encode()).hexdigest(),
        by=BY,
        door=DOOR,
    )
    return ScriptedHost(row.id, broker, password, key, centre.public)


@contextmanager
def centre_of(db: Database, broker: BrokerAddress, state: Path) -> Iterator[Centre]:
    """Begin a centre; end it with all its connections."""
    settings = CentreSettings.read(state_dir=state, broker={"url": broker.url})
    key = keys.signing_key(state)
    sender, reader, reconciler = Sender(broker), InboxReader(broker), Reconciler(db, broker)
    asking = Asking(credentials=NoCredentials())
    gate = FloodGate.open(db, broker, settings.inbox.cap_bytes)
    ways = Ways(sender=sender, reconciler=reconciler, gate=gate, asking=asking, errands=Inline())
    hosts: list[ScriptedHost] = []
    with history.lock(db, state_dir=state) as lock:
        yield Centre(
            db=db,
            broker=broker,
            settings=settings,
            key=key,
            planner=Planner(db, key, ways, settings),
            inbox=Inbox(db, reader, lock),
            reader=reader,
            reconciler=reconciler,
            hosts=hosts,
        )
    for host in hosts:
        host.close()
    sender.close()
    reader.close()
    gate.close()
    reconciler.close()


def nginx(name: str = "web", digest: str = OLD, reference: str = "nginx:1", **more: object) -> ContainerState:
    """Return a running container as a host tells of it."""
    return ContainerState(
        id=uuid4().hex * 2,
        name=name,
        reference=reference,
        image_id=f"sha256:{'a' * 64}",
        digests=(digest,),
        platform="linux/amd64",
        state="running",
        **more,  # type: ignore[arg-type]
    )
