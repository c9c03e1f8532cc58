"""The messages between centre and host, versions 1 to 5. The only words that either side says.

Down (centre to host): Offer, Order, Go, Cancel, Resolve, Probe, Receipt, SendSnapshot. Up (host to centre): Claim, Ready,
Outcome, Resolved, Probed, Progress, Heartbeat, Snapshot, and since version 2 Rekey.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal, Self
from uuid import UUID

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    StringConstraints,
    TypeAdapter,
    model_serializer,
)

from fleet.images.digest import Digest
from fleet.images.platform import Platform
from fleet.images.reference import Reference
from fleet.mirrors.probe import MirrorProbe
from fleet.mirrors.source import MirrorRule
from fleet.road.versions import OWN_WAYS_SINCE, REDIRECTS_SINCE, Message, has_own_way, was_redirected
from fleet.updates.command import Policy, Target, UpdateCommand
from fleet.updates.outcome import PullOutcome, UpdateOutcome
from fleet.updates.snapshot import ContainerState

# Down


class Offer(Message):
    """A doorbell: there is a command for you; claim it. Losing it costs only time."""

    kind: Literal["offer"] = "offer"
    command: UUID


class OrderTarget(BaseModel):
    """One container of an order, on the wire."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    update_id: UUID
    container_id: str
    container: str
    image_id: str
    reference: str
    digest: str
    old_digest: str = ""
    platform: str = ""
    """``os/architecture[/variant]`` where it is not the machine's own."""

    @model_serializer(mode="wrap")
    def _without_nothing(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave the platform out where there is none to name: agents that never heard of it read the order all the same."""
        written: dict[str, Any] = write(self)
        return written if self.platform else {key: value for key, value in written.items() if key != "platform"}


class Order(Message):
    """The command in full: pull these, prove the bytes, say ready, and wait for the go."""

    since: ClassVar[Mapping[str, int]] = {"life": 2, "policy.speeds": OWN_WAYS_SINCE}
    rules_at = "policy.mirrors"

    kind: Literal["order"] = "order"
    life: UUID | None = None
    """The one agent that may take it: the one that claimed it. Version 2; None: whoever reads it."""
    command: UUID
    targets: tuple[OrderTarget, ...]
    policy: Policy
    pull_ids: dict[str, UUID]

    @classmethod
    def of(cls, command: UpdateCommand) -> "Order":
        """Return the message that carries *command*."""
        targets = tuple(
            OrderTarget(
                update_id=t.update_id,
                container_id=t.container_id,
                container=t.container,
                image_id=t.image_id,
                reference=str(t.reference),
                digest=str(t.digest),
                old_digest=str(t.old_digest or ""),
                platform=str(t.platform or ""),
            )
            for t in command.targets
        )
        version = OWN_WAYS_SINCE if command.policy.speeds or any(map(has_own_way, command.policy.mirrors)) else 1
        return cls(v=version, command=command.id, targets=targets, policy=command.policy, pull_ids=command.pull_ids)

    def update_command(self) -> UpdateCommand:
        """Return the command that this message carries; raises BadInput where a name in it is none."""
        targets = tuple(
            Target(
                update_id=t.update_id,
                container_id=t.container_id,
                container=t.container,
                image_id=t.image_id,
                reference=Reference.parse(t.reference),
                digest=Digest.parse(t.digest),
                old_digest=Digest.parse(t.old_digest) if t.old_digest else None,
                platform=Platform.parse(t.platform) if t.platform else None,
            )
            for t in self.targets
        )
        return UpdateCommand(id=self.command, targets=targets, policy=self.policy, pull_ids=self.pull_ids)


class Go(Message):
    """The bytes are there, the centre has looked again: recreate now."""

    since: ClassVar[Mapping[str, int]] = {"life": 2}

    kind: Literal["go"] = "go"
    life: UUID | None = None
    """The one agent that may take it: the one that was ready. Version 2; None: whoever reads it."""
    command: UUID


class Cancel(Message):
    """Forget this command where no container was touched for it yet; else finish it."""

    kind: Literal["cancel"] = "cancel"
    command: UUID
    reason: str = ""


class Resolve(Message):
    """Ask a registry, with this host's own credentials, which digest a tag has."""

    kind: Literal["resolve"] = "resolve"
    request: UUID
    reference: str


class Probe(Message):
    """Look at every mirror of this host, of the policy and of its own files, and tell how it stands."""

    rules_at = "mirrors"

    kind: Literal["probe"] = "probe"
    request: UUID
    mirrors: tuple[MirrorRule, ...] = ()
    """Those of the policy that holds for this host."""
    images: dict[str, str] = Field(default_factory=dict)
    """Images that may be asked for, and the digest that the origin of each last said; empty: not known."""

    @classmethod
    def read_by(cls, reads: Collection[int], **fields: Any) -> Self:
        """Return one for a host that *reads* these versions: earlier ones are not told of mirrors that they cannot use."""
        return cls(**fields, v=OWN_WAYS_SINCE if OWN_WAYS_SINCE in reads else 1)


class Receipt(Message):
    """These outcomes stand in the history: the host may forget them."""

    kind: Literal["receipt"] = "receipt"
    ids: tuple[UUID, ...]


class SendSnapshot(Message):
    """The centre's picture of this host differs: send it whole."""

    kind: Literal["send-snapshot"] = "send-snapshot"


# Up


class Claim(Message):
    """This host will carry the command out, if it is still wanted."""

    since: ClassVar[Mapping[str, int]] = {"life": 2}

    kind: Literal["claim"] = "claim"
    life: UUID | None = None
    """Which agent says so, made anew at each of its starts. Version 2."""
    command: UUID


class Ready(Message):
    """All bytes of the command are in the engine and proved; no container was touched yet."""

    since: ClassVar[Mapping[str, int]] = {"life": 2}
    pulls_at = "pulls"

    kind: Literal["ready"] = "ready"
    life: UUID | None = None
    """As of a claim."""
    command: UUID
    pulls: tuple[PullOutcome, ...]

    @classmethod
    def read_in(cls, version: int, *, command: UUID, pulls: tuple[PullOutcome, ...]) -> Self:
        """Return one for a reader of *version*: earlier ones are not told to whom a source sent for bytes."""
        new = version >= REDIRECTS_SINCE and any(map(was_redirected, pulls))
        return cls(command=command, pulls=pulls, v=REDIRECTS_SINCE if new else 1)

    def of_life(self, life: UUID, reads: Collection[int] = ()) -> Self:
        """Return the same message bound to *life*, in a version no lower than its own."""
        return super().of_life(life, (self.v, *reads))


class Outcome(Message):
    """What came of one target; sent as it happens, and again until the receipt."""

    since: ClassVar[Mapping[str, int]] = {"outcome.interrupted": 3}
    pulls_at = "pull"

    kind: Literal["outcome"] = "outcome"
    command: UUID
    outcome: UpdateOutcome
    pull: PullOutcome | None = None
    """The pull that the target needed, whether it succeeded or not."""
    finished_at: AwareDatetime
    """By the host's clock; for people, decides nothing."""

    @classmethod
    def read_in(cls, version: int, **fields: Any) -> Self:
        """Return one for a reader of *version*, in the lowest that says all that there is to say.

        Earlier ones are told the rest: of an update that was interrupted, or of a source that sent elsewhere for bytes.
        """
        told: UpdateOutcome = fields["outcome"]
        pull: PullOutcome | None = fields.get("pull")
        if told.interrupted and version < cls.since["outcome.interrupted"]:
            fields |= {"outcome": replace(told, interrupted=False)}
        elif pull is not None and was_redirected(pull) and version >= REDIRECTS_SINCE:
            fields |= {"v": REDIRECTS_SINCE}
        elif told.interrupted:
            fields |= {"v": cls.since["outcome.interrupted"]}
        return cls(**fields)


class Resolved(Message):
    """The answer to Resolve."""

    kind: Literal["resolved"] = "resolved"
    request: UUID
    reference: str
    digest: str = ""
    endpoint: str = ""
    reason: str = ""
    """Why there is no digest; empty where there is one."""


class Probed(Message):
    """The answer to Probe."""

    kind: Literal["probed"] = "probed"
    request: UUID
    mirrors: tuple[MirrorProbe, ...]


class Progress(Message):
    """How far a command is; the latest wins, never history."""

    kind: Literal["progress"] = "progress"
    command: UUID
    container: str = ""
    phase: str
    """``pull``, ``ready``, ``create``, ``pre-update``, ``stop``, ``start``, ``verify``, ``post-update``, ``rollback``."""
    bytes: int = 0
    total: int = 0
    mirror: str = ""


class Rekey(Message):
    """This host made a key and a password of its own: from the first message that the new key signs, they alone hold."""

    kind: Literal["rekey"] = "rekey"
    v: Literal[1, 2, 3, 4, 5] = 2
    public_key: Annotated[str, StringConstraints(max_length=1000)]
    """The JWK of the new key's public half."""
    password_sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    """SHA-256 in hex of the new password at the broker."""


class HostFacts(BaseModel):
    """What a host says about itself and its engine."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    agent_version: str
    reads: tuple[int, ...] = (1,)
    """The message versions that this agent reads."""
    engine_id: str = ""
    engine_name: str = ""
    engine_version: str = ""
    api_version: str = ""
    os: str = ""
    architecture: str = ""
    containerd_store: bool = False
    problems: tuple[str, ...] = ()
    """What ``fleet doctor`` would say of this host, one line each: ``code: text``."""


class Heartbeat(Message):
    """This host lives; with what it holds, so that a lost message is made good."""

    since: ClassVar[Mapping[str, int]] = {"life": 2}

    kind: Literal["heartbeat"] = "heartbeat"
    life: UUID | None = None
    """As of a claim. Two that take turns are two machines that say that they are one host."""
    facts: HostFacts
    snapshot_hash: str = ""
    claims: tuple[UUID, ...] = ()
    """Commands that were offered and not yet ordered."""
    ready: tuple[UUID, ...] = ()
    """Commands whose bytes are there, waiting for the go."""
    outcomes_waiting: int = 0
    host_time: datetime
    """By the host's clock; decides nothing, shown as skew."""


class Snapshot(Message):
    """What runs on the host, in one part or several."""

    rules_at = "mirrors"
    rules_grow = True

    kind: Literal["snapshot"] = "snapshot"
    hash: str
    part: int = 0
    parts: int = 1
    containers: tuple[ContainerState, ...]
    mirrors: tuple[MirrorRule, ...] = ()
    """The host's own mirror rules (its files and daemon), without policy; in part 0 alone."""


Down = Annotated[Offer | Order | Go | Cancel | Resolve | Probe | Receipt | SendSnapshot, Field(discriminator="kind")]
Up = Annotated[
    Claim | Ready | Outcome | Resolved | Probed | Progress | Heartbeat | Snapshot | Rekey, Field(discriminator="kind")
]

DOWN: TypeAdapter[Down] = TypeAdapter(Down)
UP: TypeAdapter[Up] = TypeAdapter(Up)
