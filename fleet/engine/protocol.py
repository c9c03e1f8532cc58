"""What Fleet asks of a container engine: a protocol, and the values that go over it.

Raw inspects stay raw (``Inspect`` is the engine API's own JSON), because the spec must be able to carry fields over that this version of
Fleet has never heard of. Everything else is a value of ours.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

Inspect = dict[str, Any]
"""One JSON object of the engine API, deep-copied: the caller owns it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFacts:
    """What an engine says about itself (``GET /info`` and ``GET /version``)."""

    id: str
    """The engine's own id; two agents that report the same one are told apart and refused."""
    name: str
    """The host's name as the engine knows it."""
    version: str
    api_version: str
    """The version that this client talks, negotiated down to the engine's: ``1.41``."""
    os: str
    architecture: str
    """Normalised as image platforms name it: ``amd64``, ``arm64``."""
    containerd_store: bool
    """Whether images live in the containerd store (``driver-type: io.containerd.snapshotter.v1``)."""
    mirrors: tuple[str, ...] = ()
    """``RegistryConfig.Mirrors``: the registry mirrors that the daemon really uses for Docker Hub."""
    insecure_registries: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PullEvent:
    """One line of a pull's stream."""

    layer: str = ""
    status: str = ""
    current: int | None = None
    """Bytes so far of this layer in this status."""
    total: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateSpec:
    """What ``POST /containers/create`` takes, and the networks that must be connected afterwards."""

    name: str
    body: Mapping[str, Any]
    """The engine API's create body: container config, ``HostConfig``, ``NetworkingConfig``."""
    connect: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    """(network name or id, endpoint config), in order, for networks that create cannot take (API below 1.44)."""
    platform: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Executed:
    """What came of a command that was run in a container."""

    code: int | None
    """Its exit code; None where it did not end in its time."""
    output: str = ""
    """The first of what it wrote, to both of its streams."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineEvent:
    """One event of the engine's stream."""

    kind: str
    """``container`` or ``image``."""
    action: str
    id: str
    name: str = ""
    at: datetime
    attributes: Mapping[str, str] = field(default_factory=dict)


class Engine(Protocol):
    """The container engine of one host.

    Every call may raise EngineUnreachable (no answer: temporary) or EngineError (it said no, with its HTTP status). Ids and names are
    both taken where the engine API takes both. Timeouts are set by the implementation; none waits for ever.
    """

    def facts(self) -> EngineFacts:
        """Return what the engine says about itself."""
        ...

    def ping(self) -> None:
        """Return if the engine answers."""
        ...

    def container_ids(self, *, all: bool = False) -> list[str]:
        """Return the full ids of the running containers, or of all."""
        ...

    def inspect(self, container: str) -> Inspect | None:
        """Return the full inspect of a container, or None where there is none."""
        ...

    def image(self, image: str) -> Inspect | None:
        """Return the inspect of an image by id or reference, or None where there is none."""
        ...

    def pull(self, reference: str, *, auth: Mapping[str, str] | None = None, platform: str = "") -> Iterator[PullEvent]:
        """Pull *reference* (with tag or digest) and yield the stream's lines.

        Any error line of the stream raises EngineError when it is reached. Closing the iterator ends the pull; where it
        has a ``cut``, that does so from any thread, also while the engine says nothing. *auth* is
        ``{"username": .., "password": ..}`` for the registry of the reference.
        """
        ...

    def tag(self, image: str, repository: str, tag: str) -> None:
        """Give *image* one more name."""
        ...

    def remove_image(self, image: str, *, prune_parents: bool = False) -> None:
        """Remove a name of an image, or the image where *image* is an id; raises EngineError 404 or 409."""
        ...

    def image_names(self) -> list[str]:
        """Return every ``repository:tag`` and ``repository@digest`` that the engine has."""
        ...

    def create(self, spec: CreateSpec) -> str:
        """Create a container, connect its further networks, and return its full id.

        Where connecting fails, what was created is removed before the error is raised.
        """
        ...

    def start(self, container: str) -> None:
        """Start a container; already running is a success."""
        ...

    def stop(self, container: str, *, timeout_s: int | None = None, signal: str = "") -> None:
        """Stop a container with *signal* (empty: its StopSignal), and kill it after *timeout_s* (None: its StopTimeout).

        Already stopped is a success.
        """
        ...

    def rename(self, container: str, name: str) -> None:
        """Rename a container."""
        ...

    def remove(self, container: str, *, force: bool = False) -> None:
        """Remove a container, never its volumes; already gone is a success."""
        ...

    def set_restart_policy(self, container: str, policy: Mapping[str, Any]) -> None:
        """Change a container's restart policy in place (``{"Name": .., "MaximumRetryCount": ..}``)."""
        ...

    def changes(self, container: str) -> dict[str, bool]:
        """Return the paths of a container's writable layer, and whether each was added (else it was changed)."""
        ...

    def read_files(self, container: str, path: str, *, most_bytes: int) -> bytes:
        """Return a tar of what is at *path*; raise EngineError where it would be over *most_bytes*."""
        ...

    def write_files(self, container: str, folder: str, packed: bytes) -> None:
        """Unpack the tar *packed* into a *folder* of a container, with the owners that it states."""
        ...

    def execute(self, container: str, command: Sequence[str], *, user: str = "", timeout_s: float) -> Executed:
        """Run *command* in a running container as *user* (empty: the container's own), and return what came of it.

        Where it has not ended after *timeout_s* it is waited for no longer; the engine has no way to end it.
        """
        ...

    def events(self, *, since: datetime | None = None) -> Iterator[EngineEvent]:
        """Yield the engine's container and image events until closed."""
        ...

    def close(self) -> None:
        """Give the connections back."""
        ...
