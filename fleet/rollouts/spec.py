"""What a rollout was told to do: immutable once planned; a change is a new rollout.

Here are the values and the document that is stored. What people write is read by :mod:`fleet.rollouts.written`.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from fleet.errors import BadInput
from fleet.rollouts.selector import Selector
from fleet.rollouts.size import Size
from fleet.rollouts.states import FailureClass
from fleet.rollouts.windows import Freeze, Window

SPEC_VERSION: Literal[2] = 2
"""The version of the document that this program writes; it reads 1, which has one wave without a gate, too."""

MINUTE_MS = 60_000
DAY_MS = 24 * 60 * MINUTE_MS
_FORBID = ConfigDict(extra="forbid")

Positive = Annotated[int, Field(strict=True, gt=0, le=2**31 - 1)]
Count = Annotated[int, Field(strict=True, ge=0, le=2**31 - 1)]
Percent = Annotated[int, Field(strict=True, ge=0, le=100)]
Milliseconds = Annotated[int, Field(strict=True, gt=0, le=366 * DAY_MS)]
Wait = Annotated[int, Field(strict=True, ge=0, le=366 * DAY_MS)]
Silence = Annotated[int, Field(strict=True, ge=MINUTE_MS, le=366 * DAY_MS)]
"""Milliseconds without a word. Hosts tell of themselves every five minutes, or as often as their settings say."""


class OnFailure(StrEnum):
    """What follows when the gate of a wave fails."""

    HOLD = "hold"
    """Nothing new is sent until a person says how to go on."""
    ROLLBACK = "rollback"
    """What was updated goes back to its old digest, by a rollout of its own."""


class LateJoiners(StrEnum):
    """What becomes of hosts that the selector takes, but that were not there when the rollout was planned."""

    CONVERGE = "converge"
    """They join the last wave."""
    EXCLUDE = "exclude"
    """They are left alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """When a wave may be followed by the next, in whole percent of those of its hosts that were not skipped."""

    __pydantic_config__ = _FORBID

    success_pct: Percent = 95
    """So many must have succeeded."""
    tolerance_pct: Percent = 5
    """Where more failed, the gate fails."""
    min_successes: Count = 1
    """So many hosts must have succeeded whatever the percentage; an empty or silent canary never passes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveSpec:
    """One wave: which hosts, how many at once, and what must be true before the next."""

    __pydantic_config__ = _FORBID

    size: Size = "rest"
    """How many hosts: a number, a percentage of the plan (rounded up), or the rest."""
    selector: Selector | None = None
    """Takes the hosts of the plan that it means, and no earlier wave took; *size* is then a bound. None: by the order."""
    gate: Gate | None = None
    """None: the wave ends with its last host, whatever became of it, and the next one follows."""
    max_parallel: Positive | None = None
    """How many of its hosts are live at once; None: as the rollout says."""
    approval: bool = False
    """Whether a person must approve before it is opened."""
    soak_ms: Wait = 0
    """How long its hosts are watched after enough of them succeeded; a regress begins it anew."""
    deadline_ms: Milliseconds | None = DAY_MS
    """Active time after which a gate that is neither met nor failed holds the rollout; None: it waits for ever."""
    on_failure: OnFailure | None = None
    """None: roll back where it is the first of several waves (the canary), else as the rollout says."""
    prefetch_next: bool = False
    """Whether the hosts of the next wave may pull while this one soaks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailFast:
    """Ends a wave early in which most fail."""

    __pydantic_config__ = _FORBID

    min_executed: Positive = 5
    """So many hosts must have ended before it judges."""
    failed_pct: Annotated[int, Field(strict=True, ge=1, le=100)] = 50
    """Where so many of those failed, the gate fails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How much may fail over all waves."""

    __pydantic_config__ = _FORBID

    max_failed_total: Size = "2%"
    """Hosts; of a percentage at least one, rounded down. Where more failed, nothing new is sent."""
    fail_fast: FailFast | None = FailFast()


@dataclass(frozen=True, slots=True, kw_only=True)
class TrySpec:
    """How one host is tried, and tried again."""

    __pydantic_config__ = _FORBID

    dispatch_ttl_ms: Milliseconds = 10 * MINUTE_MS
    """How long an offer may go unanswered; then the host is pending again, and no try was spent."""
    pull_timeout_ms: Milliseconds = 60 * MINUTE_MS
    """How long from the order until the host must be ready."""
    apply_timeout_ms: Milliseconds = 15 * MINUTE_MS
    """How long from the go until every outcome must be there."""
    max: Positive = 2
    """How many orders one host gets at most."""
    backoff_ms: Milliseconds = MINUTE_MS
    """The wait before the second try; it doubles with each one after, and each host waits up to a quarter more."""
    min_healthy_ms: Wait | None = None
    """How long a new container without HEALTHCHECK must run without a restart; None: as the host's policy says."""
    retry_on: tuple[FailureClass, ...] = ()
    """Failures after which a host is tried again by itself, besides a pull that ran out of time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OfflineSpec:
    """What becomes of hosts that are silent."""

    __pydantic_config__ = _FORBID

    park: bool = False
    """Whether silent hosts are parked, so that no wave waits for them as for one that may come any second."""
    catch_up_ms: Milliseconds = 14 * DAY_MS
    """How long a parked host may come back and still be updated; then it is cancelled."""
    after_ms: Silence | None = None
    """After how long without a word a host counts as silent; None: after as long as elsewhere in the fleet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutSpec:
    """Waves, limits and times of one rollout. As it stands without arguments: one wave and no gates."""

    __pydantic_config__ = _FORBID

    version: Literal[1, 2] = SPEC_VERSION
    waves: Annotated[tuple[WaveSpec, ...], Field(min_length=1, max_length=100)] = (WaveSpec(),)
    max_parallel: Positive = 25
    """How many hosts are live at once."""
    tries: TrySpec = TrySpec()
    budget: Budget | None = None
    """None: any number may fail."""
    offline: OfflineSpec = OfflineSpec()
    late_joiners: LateJoiners = LateJoiners.EXCLUDE
    windows: tuple[Window, ...] = ()
    """When containers may be recreated; none: always."""
    freezes: tuple[Freeze, ...] = ()
    """When they may not, whatever the windows say."""
    stratify_by: tuple[str, ...] = ()
    """Labels of hosts: each value has its share of every wave."""
    min_release_age_ms: Wait = 0
    """How old a digest must be, from our own first sight of it, never from what the image says of itself."""
    on_failure: OnFailure = OnFailure.HOLD
    expires_ms: Milliseconds = 30 * DAY_MS
    """How long the rollout may take from its creation."""
    rate_per_minute: Positive = 600
    """How many hosts are dispatched within a minute at most."""
    quarantine_after: Positive | None = None
    """A host that failed so many releases in a row is skipped; None: none is."""
    labels: dict[str, str] = field(default_factory=dict)
    """What people wrote on it, for themselves."""

    @classmethod
    def parse(cls, document: Any) -> "RolloutSpec":
        """Read a spec from its stored document; raises BadInput that names the field which cannot be used."""
        try:
            return _ADAPTER.validate_python(document)
        except ValidationError as broken:
            first = broken.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "the document"
            raise BadInput(f"cannot use the rollout's spec: {where}: {first['msg']}") from None

    def document(self) -> dict[str, Any]:
        """Return the spec as JSON holds it; :meth:`parse` reads it back."""
        written: dict[str, Any] = _ADAPTER.dump_python(self, mode="json")
        if self.tries.min_healthy_ms is None:
            # An earlier release that still runs refuses what it does not know, and sends nothing beside it.
            del written["tries"]["min_healthy_ms"]
        if self.offline.after_ms is None:
            del written["offline"]["after_ms"]
        return written

    def on_failure_of(self, number: int) -> OnFailure:
        """Return what follows when the gate of wave *number* fails."""
        said = self.waves[number].on_failure
        if said is not None:
            return said
        canary = number == 0 and len(self.waves) > 1
        return OnFailure.ROLLBACK if canary else self.on_failure

    @property
    def gated(self) -> bool:
        """Whether a gate stands behind any of its waves."""
        return any(wave.gate is not None for wave in self.waves)

    def parallel_of(self, number: int) -> int:
        """Return how many hosts of wave *number* may be live at once."""
        return min(self.max_parallel, self.waves[number].max_parallel or self.max_parallel)


STAGED = (
    WaveSpec(size=1, gate=Gate(), soak_ms=10 * MINUTE_MS),
    WaveSpec(size="10%", gate=Gate(), soak_ms=30 * MINUTE_MS),
    WaveSpec(size="50%", gate=Gate(), soak_ms=30 * MINUTE_MS),
    WaveSpec(gate=Gate()),
)
"""The waves of a staged rollout whose author named none."""

_ADAPTER: TypeAdapter[RolloutSpec] = TypeAdapter(RolloutSpec)
