"""The closed sets of words that rollouts, waves, tries and commands can be in."""

from enum import StrEnum


class RolloutState(StrEnum):
    """How far a rollout is."""

    DRAFT = "draft"
    """It is being written; nothing is pinned, and nothing follows from it."""
    PLANNED = "planned"
    """Its hosts and digests are pinned; nothing was sent yet."""
    RUNNING = "running"
    """Hosts are being dispatched."""
    ABORTING = "aborting"
    """A person stopped it: nothing new is sent, what is live may end."""
    ROLLING_BACK = "rolling_back"
    """It failed, or a person said so: nothing new is sent, and a rollout of its own brings the old digests back."""
    COMPLETED = "completed"
    """Every host ended, and none failed."""
    COMPLETED_WITH_FAILURES = "completed_with_failures"
    """Every host ended, and at least one failed."""
    ABORTED = "aborted"
    """A person stopped it, and nothing is live any more."""
    EXPIRED = "expired"
    """Its time was over before every host had its turn."""
    SUPERSEDED = "superseded"
    """A newer rollout of the same images took over."""
    ROLLED_BACK = "rolled_back"
    """Its way back has ended; how well, the rollout that was the way back tells."""

    @property
    def ended(self) -> bool:
        """Whether nothing about the rollout changes any more."""
        return self not in _GOES_ON

    @property
    def words(self) -> str:
        """The state as people read it: ``completed with failures``."""
        return self.value.replace("_", " ")


_GOES_ON = (
    RolloutState.DRAFT,
    RolloutState.PLANNED,
    RolloutState.RUNNING,
    RolloutState.ABORTING,
    RolloutState.ROLLING_BACK,
)


class WaveState(StrEnum):
    """How far one wave is."""

    PENDING = "pending"
    """Earlier waves come first."""
    OPEN = "open"
    """Its hosts may be dispatched."""
    SOAKING = "soaking"
    """Enough of its hosts succeeded, and are watched for a while."""
    PASSED = "passed"
    """Its gate was met and its soak served; without a gate: every host of it ended, and none failed."""
    FAILED = "failed"
    """Its gate failed; without a gate: every host of it ended or was withdrawn, and at least one failed or never had
    its turn."""
    WAIVED = "waived"
    """A person let the rollout go on although the gate was not met."""

    @property
    def ended(self) -> bool:
        """Whether the gate has spoken, or a person in its place."""
        return self in (WaveState.PASSED, WaveState.FAILED, WaveState.WAIVED)

    @property
    def cleared(self) -> bool:
        """Whether later waves may be opened, and what is left of this one may go on."""
        return self in (WaveState.PASSED, WaveState.WAIVED)


class Hold(StrEnum):
    """Why a rollout sends nothing new; a set, and a resume takes away only its own."""

    USER = "user"
    """A person paused it."""
    APPROVAL = "approval"
    """The next wave waits for a person's approval."""
    GATE_FAILED = "gate_failed"
    """A wave failed; a person retries or waives it, aborts, or rolls back."""
    INCONCLUSIVE = "inconclusive"
    """A wave's deadline passed and its gate is neither met nor failed; a person retries or waives it."""
    BUDGET = "budget"
    """More hosts failed over all waves than the budget allows."""
    MIRROR_OUTAGE = "mirror_outage"
    """One try after the other ended because bytes could not be had."""
    ENGINE_ERROR = "engine_error"
    """One try after the other ended because an engine could not be used."""
    SUPERSEDED = "superseded"
    """A newer rollout of the same images was planned; goes away by itself where that one ends before it begins."""

    @property
    def words(self) -> str:
        """The hold with what it means: ``budget (more hosts failed than it allows)``."""
        return f"{self.value.replace('_', ' ')} ({_HOLDS[self]})"

    def answer(self, number: int) -> str:
        """Return what a person says to let rollout *number* go on; empty where it is not a person's to say."""
        match self:
            case Hold.APPROVAL:
                return f"approve it: fleet approve {number}"
            case Hold.USER:
                return f"let it go on: fleet rollout resume {number}"
            case Hold.GATE_FAILED | Hold.INCONCLUSIVE:
                again, on = (
                    f"try again: fleet rollout retry {number}",
                    f"go on all the same: fleet rollout waive {number}",
                )
                return f"{again}; {on}; take back what it brought: fleet rollout undo {number}"
            case Hold.BUDGET | Hold.MIRROR_OUTAGE | Hold.ENGINE_ERROR:
                return f"let it go on: fleet rollout resume {number} --hold {self.value}"
            case Hold.SUPERSEDED:
                return ""


_HOLDS = {
    Hold.USER: "a person paused it",
    Hold.APPROVAL: "the next wave waits for a person",
    Hold.GATE_FAILED: "a wave failed",
    Hold.INCONCLUSIVE: "a wave neither passed nor failed",
    Hold.BUDGET: "more hosts failed than it allows",
    Hold.MIRROR_OUTAGE: "one host after the other got no bytes",
    Hold.ENGINE_ERROR: "one engine after the other could not be used",
    Hold.SUPERSEDED: "a newer rollout of the same images was planned",
}


class HostState(StrEnum):
    """Where one host stands in one rollout."""

    PENDING = "pending"
    """Its turn has not come, or comes again."""
    PARKED = "parked"
    """It is silent; its turn comes when it is heard of again, within the time to catch up."""
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
    REGRESSED = "regressed"
    """It succeeded, and does not run the pinned digest well any more; counts as a failure."""
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
        return self not in WAITING and self not in LIVE


LIVE = (HostState.DISPATCHED, HostState.PULLING, HostState.READY, HostState.APPLYING)
"""The states of a host in which a try is under way."""

WAITING = (HostState.PENDING, HostState.PARKED)
"""The states of a host whose turn is still to come."""

BAD = (HostState.FAILED, HostState.REGRESSED)
"""The states of a host that count as failures."""

GONE = (HostState.SKIPPED, HostState.CANCELLED)
"""The states of a host that the gate does not count at all."""


class FailureClass(StrEnum):
    """Whose fault a failed try is."""

    RELEASE = "release"
    """The new version did not start, or was not healthy."""
    INFRASTRUCTURE = "infrastructure"
    """The bytes could not be had: mirrors, registry, network, disk."""
    ENGINE = "engine"
    """The engine refused or could not be reached."""
    TIMEOUT = "timeout"
    """No outcome came in time."""


class CommandState(StrEnum):
    """How far one command is; each state but the last three has a deadline."""

    PENDING = "pending"
    """Written, and not yet offered: a pull ahead is, and was every command of an earlier release."""
    OFFERED = "offered"
    """The doorbell was rung, or is about to be; a command of a host that is dispatched begins so."""
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
