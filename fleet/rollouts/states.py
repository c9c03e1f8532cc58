"""The closed sets of words that rollouts, waves, tries and commands can be in."""

from enum import StrEnum


class RolloutState(StrEnum):
    """How far a rollout is."""

    PLANNED = "planned"
    """Its hosts and digests are pinned; nothing was sent yet."""
    RUNNING = "running"
    """Hosts are being dispatched."""
    ABORTING = "aborting"
    """A person stopped it: nothing new is sent, what is live may end."""
    COMPLETED = "completed"
    """Every host ended, and none failed."""
    COMPLETED_WITH_FAILURES = "completed_with_failures"
    """Every host ended, and at least one failed."""
    ABORTED = "aborted"
    """A person stopped it, and nothing is live any more."""
    EXPIRED = "expired"
    """Its time was over before every host had its turn."""

    @property
    def ended(self) -> bool:
        """Whether nothing about the rollout changes any more."""
        return self not in (RolloutState.PLANNED, RolloutState.RUNNING, RolloutState.ABORTING)


class WaveState(StrEnum):
    """How far one wave is."""

    PENDING = "pending"
    """Earlier waves come first."""
    OPEN = "open"
    """Its hosts may be dispatched."""
    PASSED = "passed"
    """Every host of it ended, and none failed."""
    FAILED = "failed"
    """Every host of it ended or was withdrawn, and at least one failed or never had its turn."""


class Hold(StrEnum):
    """Why a rollout sends nothing new; a set, and a resume takes away only its own."""

    USER = "user"
    """A person paused it."""


class HostState(StrEnum):
    """Where one host stands in one rollout."""

    PENDING = "pending"
    """Its turn has not come, or comes again."""
    DISPATCHED = "dispatched"
    """A command exists for it and has been, or is about to be, offered."""
    PULLING = "pulling"
    """It has the order and pulls."""
    READY = "ready"
    """It has the bytes and waits for the go."""
    APPLYING = "applying"
    """It has the go and recreates."""
    SUCCEEDED = "succeeded"
    """Every target of it runs the pinned digest."""
    FAILED = "failed"
    """At least one target does not, or the last try ran out of time."""
    SKIPPED = "skipped"
    """The host found a reason to touch none of its targets."""
    CANCELLED = "cancelled"
    """It was withdrawn before its turn."""

    @property
    def live(self) -> bool:
        """Whether a try is under way; at most one per host, over all rollouts."""
        return self in LIVE

    @property
    def ended(self) -> bool:
        """Whether the host needs nothing more from this rollout."""
        return self is not HostState.PENDING and self not in LIVE


LIVE = (HostState.DISPATCHED, HostState.PULLING, HostState.READY, HostState.APPLYING)
"""The states of a host in which a try is under way."""


class CommandState(StrEnum):
    """How far one command is; each state but the last three has a deadline."""

    PENDING = "pending"
    """Written, and not yet offered."""
    OFFERED = "offered"
    """The doorbell was rung."""
    CLAIMED = "claimed"
    """The host wants it; the centre has not yet looked again."""
    PULLING = "pulling"
    """The signed order was sent."""
    READY = "ready"
    """The host has the bytes."""
    APPLYING = "applying"
    """The go was sent."""
    DONE = "done"
    """Every target has its outcome in the history."""
    EXPIRED = "expired"
    """A deadline passed."""
    CANCELLED = "cancelled"
    """It was called off before a container was touched."""

    @property
    def ended(self) -> bool:
        """Whether no message moves it any more, but a late outcome is still recorded."""
        return self in (CommandState.DONE, CommandState.EXPIRED, CommandState.CANCELLED)


HOST_STATE = {
    CommandState.PENDING: HostState.DISPATCHED,
    CommandState.OFFERED: HostState.DISPATCHED,
    CommandState.CLAIMED: HostState.DISPATCHED,
    CommandState.PULLING: HostState.PULLING,
    CommandState.READY: HostState.READY,
    CommandState.APPLYING: HostState.APPLYING,
}
"""What the state of a live command means for its host in the rollout."""
