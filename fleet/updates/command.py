"""What a host is asked to do: one command, its targets, and the policy that travels with it."""

from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from fleet.images.digest import Digest
from fleet.images.platform import Platform
from fleet.images.reference import Reference
from fleet.mirrors.source import MirrorRule
from fleet.mirrors.table import Strategy


class GlobalMirrorsFor(StrEnum):
    """Which registries a global mirror (``for = "*"``) is asked for when bytes are pulled."""

    ALL = "*"
    """Every registry; the mirror then sees the names of their repositories, never a credential."""
    DOCKER_HUB = "docker.io"
    """Docker Hub alone, as the Docker daemon does."""


class LooseFiles(StrEnum):
    """What is done about files that stand only in the old container's writable layer."""

    WARN = "warn"
    """The update goes on, and the outcome names them."""
    REFUSE = "refuse"
    """The container is skipped."""
    COPY = "copy"
    """They are copied into the new container before the old one is stopped."""


class UpdateOrder(StrEnum):
    """Which of the two containers is acted on first; Swarm's words."""

    STOP_FIRST = "stop-first"
    """The old one is stopped, then the new one is started: never two at once."""
    START_FIRST = "start-first"
    """The new one is started and verified while the old one runs, where nothing of it is there but once: no downtime."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyPolicy:
    """When a new container counts as good."""

    settle_ms: int = 10_000
    """How long a container without HEALTHCHECK must run without a restart."""
    deadline_ms: int = 300_000
    """The most that is waited for ``healthy``, whatever the HEALTHCHECK's own timing adds up to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How this host updates. It comes with every order, so that a host keeps none that could go stale."""

    mirrors: tuple[MirrorRule, ...] = ()
    global_mirrors_for: GlobalMirrorsFor = GlobalMirrorsFor.ALL
    speeds: dict[str, int] | None = None
    """Bytes a second by mirror, as this host measured them, where the fastest is asked first; None: mirrors are asked in
    the order in which they are written."""
    verify: VerifyPolicy = field(default_factory=VerifyPolicy)
    remove_old_image: bool = False
    """Whether old images are removed after a verified update, where no container uses them and nobody gave them a name."""
    keep_images: int = 1
    """How many earlier images of each container are kept all the same, under names of their own."""
    loose_files: LooseFiles = LooseFiles.WARN
    order: UpdateOrder = UpdateOrder.STOP_FIRST
    """A container's label ``fleet.update.order`` wins over it."""
    hooks: bool = False
    """Whether commands that labels name are run in the containers, before and after."""
    pull_timeout_ms: int = 3_600_000
    apply_timeout_ms: int = 900_000

    @property
    def strategy(self) -> Strategy:
        """In which order mirrors are asked."""
        return Strategy.ORDER if self.speeds is None else Strategy.FASTEST


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One container that shall run one digest, with what the plan saw as its preconditions."""

    update_id: UUID
    """The id of the history row that will tell of it; made by the centre."""
    container_id: str
    """The full 64-digit id that the plan saw; the update is refused when another one has the name."""
    container: str
    """The container's name, without the leading slash."""
    image_id: str
    """The image id that the plan saw the container run (``sha256:...``)."""
    reference: Reference
    """The reference as the user wrote it (tag kept); the new container is created under it."""
    digest: Digest
    """What the reference resolved to: an index digest, or a manifest digest where there is no index."""
    old_digest: Digest | None = None
    """The digest that the container ran when the plan was made, where it was known."""
    platform: Platform | None = None
    """The platform of its image where the machine only emulates it; None: the machine's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateCommand:
    """One order to one host: bring these containers to these digests."""

    id: UUID
    targets: tuple[Target, ...]
    policy: Policy
    pull_ids: dict[str, UUID]
    """For each distinct image of the targets (see :func:`pull_key`), the id of its pull's history row."""


def pull_key(target: Target) -> str:
    """Return the key in *pull_ids* of what *target* needs: name and digest, without the tag, and a foreign platform."""
    key = f"{target.reference.name}@{target.digest}"
    return f"{key}#{target.platform}" if target.platform else key


def split_pull_key(key: str) -> tuple[str, str]:
    """Return the canonical repository and the digest that a :func:`pull_key` names."""
    repository, _, rest = key.partition("@")
    return repository, rest.partition("#")[0]
