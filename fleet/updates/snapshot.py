"""What runs on a host, as the centre needs to know it: small, free of secrets, the same for the same state."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerState:
    """One container, without its environment or anything else that may hold a secret."""

    id: str
    name: str
    reference: str
    """The reference as the user wrote it (``Config.Image``); may be an image id where no name is known."""
    image_id: str
    digests: tuple[str, ...] = ()
    """The digests by which the engine, or this agent's own table, knows the image under the reference's repository."""
    platform: str = ""
    """``os/architecture[/variant]`` of the image that runs."""
    state: str = ""
    """The engine's word: ``running``, ``exited``, ``created``, ..."""
    health: str = ""
    """``healthy``, ``unhealthy``, ``starting``, or empty where there is no HEALTHCHECK."""
    labels: dict[str, str] = field(default_factory=dict)
    """Only the labels that steer Fleet, name a Compose project, or say where an image comes from (see ``TOLD_LABELS``)."""
    local_build: bool = False
    """Whether the image has no registry digest at all, as far as engine and agent know."""
    needs: tuple[str, ...] = ()
    """The containers that its engine makes it need, each ``KIND:NAME``: ``network:vpn``, ``pid:``, ``ipc:``, ``volumes:``,
    ``link:db`` (see ``updates/order.py``)."""
    own: tuple[str, ...] | None = None
    """The paths of what its user set among what an image may say (see ``updates/foresight.py``), without a value; None:
    not told."""
    keeps: tuple[str, ...] | None = None
    """The paths in it at which it may write to a volume, or to a file or folder of its host; sockets are none. What is
    there, no way back brings back. None: not told."""


MOST_KEPT = 20
"""How many paths are told at which one container may write."""

STEERING_LABELS = (
    "fleet.",
    "com.centurylinklabs.watchtower.",
    "com.docker.compose.project",
    "com.docker.compose.service",
    "com.docker.compose.depends_on",
)
"""Prefixes of the labels that steer Fleet or name a Compose project."""

SOURCE_LABELS = ("org.opencontainers.image.source", "org.opencontainers.image.url")
"""The labels by which images say where people read more of them."""

TOLD_LABELS = (*STEERING_LABELS, *SOURCE_LABELS)
"""Prefixes of the labels that a snapshot carries; all others stay on the host."""
