"""What came of it: an expected failure is a value here, not an exception."""

from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from fleet.mirrors.attempt import Attempt as Attempt
from fleet.mirrors.attempt import AttemptResult as AttemptResult


class Result(StrEnum):
    """How one container's update ended."""

    UPDATED = "updated"
    """The new container runs the pinned digest and was verified."""
    ALREADY_CURRENT = "already_current"
    """The container ran the pinned digest already; nothing was touched."""
    SKIPPED = "skipped"
    """Policy, a label or a missing precondition said no; nothing was touched."""
    FAILED = "failed"
    """It went wrong before the old container was stopped; the old one never noticed."""
    ROLLED_BACK = "rolled_back"
    """It went wrong later; the old container runs again."""
    ROLLBACK_FAILED = "rollback_failed"
    """The way back failed too; a person must look."""
    ABANDONED = "abandoned"
    """The host tried this command too often without reaching an end; the old container was left as it was."""


class Tier(StrEnum):
    """By which way the engine got the bytes."""

    NATIVE = "native"
    """Through the gateway, asked under the image's own name by a ``hosts.toml`` of ours: provenance is exact."""
    LOOPBACK = "loopback"
    """Through the gateway on this host's loopback: provenance is exact."""
    DAEMON = "daemon-chosen"
    """The engine pulled by itself; which mirror served is not known."""
    PRESENT = "present"
    """The engine had the image already; no byte was pulled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PullOutcome:
    """What came of one pull of one image."""

    pull_id: UUID
    reference: str
    """Canonical, with tag and digest."""
    digest: str
    ok: bool
    tier: Tier
    image_id: str = ""
    """The engine's id of the image, where the pull succeeded."""
    reason: str = ""
    """Why it failed; of one that succeeded, what else is to be told."""
    bytes: int = 0
    duration_ms: int = 0
    attempts: tuple[Attempt, ...] = ()

    @property
    def mirror(self) -> str:
        """The source that served the most bytes, or empty."""
        served = [a for a in self.attempts if a.bytes]
        return max(served, key=lambda a: a.bytes).source if served else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phases:
    """Milliseconds of each phase of one update; None for a phase that was not reached."""

    pull_ms: int | None = None
    create_ms: int | None = None
    stop_ms: int | None = None
    start_ms: int | None = None
    verify_ms: int | None = None
    rollback_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateOutcome:
    """What came of one target."""

    update_id: UUID
    container: str
    result: Result
    reason: str = ""
    """For people; begins with "cannot" where something failed."""
    old_container_id: str = ""
    new_container_id: str = ""
    old_digest: str = ""
    new_digest: str = ""
    old_image_id: str = ""
    new_image_id: str = ""
    pull_id: UUID | None = None
    phases: Phases = field(default_factory=Phases)
    downtime_ms: int | None = None
    """From the stop of the old container until the new (or, rolled back, the old) one ran; None: never stopped."""
    config_diff: tuple[str, ...] = ()
    """Lines ``path: old -> new`` of the spec, without the values of environment variables."""
    interrupted: bool = False
    """Whether the agent ended in the middle, and its next start took the update back: that says nothing of the image."""
