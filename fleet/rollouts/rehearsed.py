"""What goes into a rehearsal and what comes out of it: hosts and how they behave, faults, and how each wave went."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from fleet.rollouts.states import FailureClass, Hold, HostState, RolloutState, WaveState
from fleet.rollouts.windows import Window

Span = tuple[datetime, datetime]
"""From an instant to the first instant after."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsed:
    """One host of a rehearsal, and how it behaves."""

    id: UUID
    name: str
    labels: dict[str, str] = field(default_factory=dict)
    zone: str = "UTC"
    windows: tuple[Window, ...] = ()
    """Those that its policy gives it."""
    pull_ms: int = 30_000
    apply_ms: int = 10_000
    away: tuple[Span, ...] = ()
    """When nothing is heard of it; how soon it counts as silent is for the spec to say (``offline.after``)."""
    fails: FailureClass | None = None
    """How each try of it ends; None: well."""
    regresses_after_ms: int | None = None
    """How long after it succeeded it stops running well; None: never."""
    unhealthy: bool = False
    """Whether it failed at its latest try before the rehearsal; it has its place under the caps already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What goes wrong besides what the hosts do by themselves."""

    bad_image: bool = False
    """The new version starts on no host."""
    outage: Span | None = None
    """When no pull succeeds."""
    centre_away: Span | None = None
    """When the centre decides nothing and hears nothing; hosts end what they began, and tell of it afterwards."""
    approve_after: timedelta | None = None
    """How long a person takes to approve a wave; None: nobody does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RehearsedWave:
    """One wave, as it went."""

    number: int
    state: WaveState
    opened_at: datetime | None
    ended_at: datetime | None
    counts: dict[HostState, int]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """What a rehearsed rollout came to."""

    state: RolloutState
    """Where the rollout stood at last."""
    ended_at: datetime | None
    """When it was over; None: it waits for a person, or the rehearsal was not long enough."""
    holds: frozenset[Hold]
    """What it waits for."""
    waves: tuple[RehearsedWave, ...]
    counts: dict[HostState, int]
    touched: tuple[str, ...]
    """The hosts of which a container was stopped for it, by name."""
    most_away: dict[str, int]
    """By ``label=value`` of each cap: the most hosts that were live or unhealthy at once."""
    limits: dict[str, int]
    """By ``label=value``: how many may be."""
    events: tuple[tuple[datetime, str], ...]
    """What was decided, but for dispatches, in order."""
