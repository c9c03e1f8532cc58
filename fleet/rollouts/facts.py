"""What ``advance`` is told of one rollout: counts and a few candidates, so that its size costs a tick nothing.

Each field that an older caller does not know has the value under which nothing new follows from it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from fleet.rollouts.spec import RolloutSpec
from fleet.rollouts.states import Hold, HostState, RolloutState, WaveState
from fleet.rollouts.windows import Window


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A pending host whose turn may have come."""

    host_id: UUID
    wave: int
    position: int
    """Its place in the rollout's order."""
    reachable: bool = True
    """Whether it has been heard of lately."""
    busy: bool = False
    """Whether it has a live try in another rollout."""
    stopped: bool = False
    """Whether a freeze of the fleet, or a quarantine, keeps it as it is."""
    unavailable: bool = False
    """Whether it is unhealthy already, so that trying it takes no more of any cap."""
    name: str = ""
    """For the selectors of freezes."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """For caps, and for the selectors of freezes."""
    zone: str = "UTC"
    """Its time zone, for windows in the host's own time."""
    windows: tuple[Window, ...] = ()
    """Those that its policy gives it, besides the rollout's; none: it may go at any time."""
    not_before: datetime | None = None
    """When its next try may begin; None: at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveFacts:
    """One wave, and how many of its hosts are in which state."""

    number: int
    state: WaveState
    counts: Mapping[HostState, int] = field(default_factory=dict)
    opened_at: datetime | None = None
    active_ms: int = 0
    """Its active time up to *active_since*, or in all where that is None."""
    active_since: datetime | None = None
    """Since when its active time runs; None: it stands still."""
    soak_since: datetime | None = None
    """Since when it soaks; None: its gate was not met, or is not any more."""
    regressed_at: datetime | None = None
    """When a host of it last became regressed; None: none did."""
    approved: bool = False
    prefetched: bool = True
    """Whether its hosts were told to pull ahead."""
    silent: int = 0
    """How many of its pending hosts are silent."""
    returned: int = 0
    """How many of its parked hosts were heard of again."""
    overdue: int = 0
    """How many of its parked hosts, still silent, have been parked for longer than they may catch up."""
    quarantined: int = 0
    """How many of its pending and parked hosts are in quarantine."""

    def count(self, *states: HostState) -> int:
        """Return how many hosts of the wave are in one of *states*."""
        return sum(self.counts.get(state, 0) for state in states)


@dataclass(frozen=True, slots=True, kw_only=True)
class CapFacts:
    """How many hosts with one value of one label may be away at once, over all rollouts, and how many are."""

    label: str
    value: str
    limit: int
    unavailable: int
    """Hosts with this value that are live in any rollout, or unhealthy: failed or regressed at their latest try."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Superseding:
    """A newer rollout of the same images to hosts of this one, which has not ended, or did not end before it touched any.

    One that was aborted half-way still counts: the older would bring back what some of its hosts have left behind.
    """

    id: UUID
    begun: bool
    """Whether it has begun; before that, this one is only held."""
    number: int | None = None
    """What people call it; None: nobody does, as in a rehearsal."""

    @property
    def name(self) -> str:
        """What it is called in a reason."""
        return str(self.id) if self.number is None else f"#{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutFacts:
    """What is known of one rollout. Hosts are counted, not listed, so that its size costs a tick nothing."""

    id: UUID
    spec: RolloutSpec
    state: RolloutState
    created_at: datetime
    waves: tuple[WaveFacts, ...]
    """By number, as many as the spec has."""
    candidates: tuple[Candidate, ...] = ()
    """Pending hosts of waves that are not pending; may be a part, but not empty while one could be dispatched."""
    holds: frozenset[Hold] = frozenset()
    caps: tuple[CapFacts, ...] = ()
    """Those that the candidates' labels meet."""
    times: frozenset[tuple[str, tuple[Window, ...]]] = frozenset()
    """The time zones of its hosts that are not done, each with the windows that their policies give them; needed only where
    there are such windows, or one of the rollout's is in the host's own time.
    """
    dispatched_last_minute: int = 0
    forgiven: int = 0
    """Failures over all waves that a person has seen and accepted."""
    late: int = 0
    """Hosts that the selector takes, came after the plan, and are not in the rollout."""
    infrastructure_in_a_row: int = 0
    """How many of the latest tries, since the hold was last lifted, ended one after the other for want of bytes."""
    engine_in_a_row: int = 0
    """The same, for engines that could not be used."""
    superseded_by: Superseding | None = None
    first_seen_at: datetime | None = None
    """When the centre first saw the youngest of its digests; None: the release may be of any age."""
    is_way_back: bool = False
    """Whether it is the way back of another; it is never itself rolled back."""
    way_back: RolloutState | None = None
    """Where the rollout stands that is the way back of this one; None: it was not made."""
    undoable: bool = False
    """Whether a way back would have a host, of one that rolls back and has no way back yet; before its hosts are at rest: False."""

    def count(self, *states: HostState) -> int:
        """Return how many hosts of all waves are in one of *states*."""
        return sum(wave.count(*states) for wave in self.waves)
