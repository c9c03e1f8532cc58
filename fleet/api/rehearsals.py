"""Rehearsals: what a rollout would come to, over a simulated fleet drawn from this fleet's own history."""

from datetime import datetime

from pydantic import Field

from fleet.api.form import Answer, Part
from fleet.api.plans import WithSpec
from fleet.api.rollouts import WavePart
from fleet.api.selectors import Selector
from fleet.rollouts.states import Hold, HostState, RolloutState

_MONTH_MS = 31 * 86_400_000


class Rehearse(WithSpec):
    """Rehearse a rollout of what is selected, from now on, with chosen faults; nothing is planned or asked of a host."""

    selector: Selector = Selector()
    seed: int = Field(default=0, ge=0, le=2**31 - 1)
    """The same seed draws the same behaviour of the hosts."""
    bad_image: bool = False
    """The new version starts on no host."""
    off: tuple[str, ...] = Field(default=(), max_length=100)
    """Hosts that are switched off, by name or pattern."""
    off_ms: int | None = Field(default=None, gt=0, le=_MONTH_MS)
    """For how long; None: they do not come back."""
    outage_ms: int = Field(default=0, ge=0, le=_MONTH_MS)
    """For how long no pull succeeds."""
    centre_away_ms: int = Field(default=0, ge=0, le=_MONTH_MS)
    """For how long the centre decides and hears nothing."""
    after_ms: int = Field(default=0, ge=0, le=_MONTH_MS)
    """How long after its begin the outage begins, and the centre goes away."""
    slower: int = Field(default=1, ge=1, le=1000)
    """How many times as long pulls take."""
    slow_mirror: str = Field(default="", max_length=300)
    """Only those of hosts that a source with this in its name serves; empty: all."""
    approve_after_ms: int | None = Field(default=None, ge=0, le=_MONTH_MS)
    """How long a person takes to approve a wave; None: nobody does."""


class RehearsedWave(WavePart):
    """One wave, as it went."""

    reason: str = ""


class RehearsedCap(Part):
    """How full a cap became."""

    label: str
    """``label=value``."""
    limit: int
    most_away: int
    """The most hosts that were live or unhealthy at once; over the limit only where hosts failed by themselves."""


class RehearsedEvent(Part):
    """What was decided, and when."""

    at: datetime
    text: str


class BadImage(Part):
    """What an image that starts nowhere would reach."""

    state: RolloutState
    holds: tuple[Hold, ...] = ()
    touched: tuple[str, ...] = ()
    """The hosts of which a container was stopped for it."""


class Rehearsal(Answer):
    """What a rollout would come to."""

    seed: int
    begin: datetime
    state: RolloutState
    """Where the rollout stood at last."""
    ended_at: datetime | None = None
    """When it would be over; None: it waits for a person, or would last for more than 31 days."""
    holds: tuple[Hold, ...] = ()
    """What it waits for."""
    hosts: int
    unknown: tuple[str, ...] = ()
    """Hosts of which too little is known; they behave as any host of the fleet does."""
    updates: int
    """How many updates the hosts' behaviour was drawn from."""
    waves: tuple[RehearsedWave, ...] = ()
    counts: dict[HostState, int] = Field(default_factory=dict)
    touched: tuple[str, ...] = ()
    """The hosts of which a container would be stopped."""
    caps: tuple[RehearsedCap, ...] = ()
    events: tuple[RehearsedEvent, ...] = ()
    bad_image: BadImage
    """What the same rollout of an image that starts nowhere would reach."""
    warnings: tuple[str, ...] = ()
