"""What ``advance`` and what people do may come to: each decision is one change of rows, and says all that it needs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from fleet.rollouts.states import Hold, RolloutState, WaveState


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin:
    """Let the planned rollout run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenWave:
    """Let the hosts of this wave be dispatched. Also after a retry: its soak and deadline begin anew."""

    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatch:
    """Write a command for this host."""

    host_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Park:
    """Park the hosts of this wave that are pending and silent."""

    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpark:
    """Let the hosts of this wave that are parked and were heard of be pending again."""

    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveUp:
    """Cancel the hosts of this wave that have been parked for longer than they may catch up."""

    number: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SkipQuarantined:
    """Skip the hosts of this wave that are pending or parked, and in quarantine."""

    number: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refill:
    """Move the first *hosts* pending hosts, by position, of wave *taken_from* to wave *number*."""

    number: int
    taken_from: int
    hosts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmitLate:
    """Put the hosts that came after the plan, and that the selector takes, at the end of this wave, pending."""

    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefetch:
    """Let the hosts of this wave pull, and go no further."""

    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawPending:
    """End every host that is still pending or parked: cancelled, or skipped where *skipped*."""

    reason: str
    skipped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StartClock:
    """The active time of this wave runs from now: ``active_since`` = now."""

    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StopClock:
    """The active time of this wave stands still: ``active_ms`` is this, ``active_since`` nothing."""

    number: int
    active_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Soak:
    """Enough hosts of this wave succeeded: it soaks from now (``soaking``, ``soak_since`` = now). Also begins it anew."""

    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StopSoak:
    """The gate is not met any more: the soak of this wave counts for nothing (``soak_since`` = nothing)."""

    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EndWave:
    """The gate of this wave has spoken, or a person in its place."""

    number: int
    state: WaveState
    evidence: Mapping[str, int] = field(default_factory=dict)
    """The numbers that it was judged by: planned, gone, succeeded, failed, in_flight, failed_total."""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetHold:
    """Put this reason into the rollout's holds, and call off what touched no container yet."""

    hold: Hold
    reason: str
    wave: int | None = None
    """The wave that waits; None: it is about no wave in particular."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiftHold:
    """Take this reason, and no other, out of the rollout's holds."""

    hold: Hold
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Approve:
    """This wave was approved."""

    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgive:
    """So many failures over all waves were seen and accepted; one more than this and than the budget holds again."""

    failed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryFailed:
    """Let the failed and regressed hosts of this wave be pending again, with all of their tries."""

    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Abort:
    """The rollout is aborting: what touched no container yet is called off."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RollBack:
    """The rollout is rolling back: what touched no container yet is called off."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BeginWayBack:
    """Make the rollout that brings every host that this one touched back to its old digests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """The rollout is over, in *state*."""

    state: RolloutState
    reason: str = ""


Decision = (
    Begin
    | OpenWave
    | Dispatch
    | Park
    | Unpark
    | GiveUp
    | SkipQuarantined
    | Refill
    | AdmitLate
    | Prefetch
    | WithdrawPending
    | StartClock
    | StopClock
    | Soak
    | StopSoak
    | EndWave
    | SetHold
    | LiftHold
    | Approve
    | Forgive
    | RetryFailed
    | Abort
    | RollBack
    | BeginWayBack
    | Finish
)
