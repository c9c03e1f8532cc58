"""A follower: a container that lives in a namespace of the one that is updated, or hangs on it by a link, and goes with it."""

from dataclasses import dataclass
from typing import Any

from fleet.updates.command import Target
from fleet.updates.outcome import PullOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Follower:
    """One follower in the record of an update: what it was, and what makes it again beside the new container."""

    old: dict[str, Any]
    """Its full inspect, before anything was touched."""
    body: dict[str, Any]
    """The create body of its new container; other members of the update stand in it by their names."""
    connect: tuple[tuple[str, dict[str, Any]], ...] = ()
    platform: str = ""
    image_id: str
    """The image that its new container runs: its own, unless it is updated too."""
    new_name: str
    """The temporary name of its new container, until the swap."""
    copies: tuple[str, ...] = ()
    config_diff: tuple[str, ...] = ()
    target: Target | None = None
    """What the same command asks of it; None: it only goes along."""
    pull: PullOutcome | None = None
    new_id: str = ""
    again_id: str = ""
    """The id of its old container where that had to be made again on the way back."""

    @property
    def id(self) -> str:
        """The id of its old container."""
        return str(self.old["Id"])

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.old["Name"]).lstrip("/")

    @property
    def old_name(self) -> str:
        """The name that its old container gets at the swap."""
        return f"{self.name}.fleet-old-{self.id[:12]}"

    @property
    def runs(self) -> bool:
        """Whether it ran when the update began."""
        return bool(self.old["State"].get("Running"))
