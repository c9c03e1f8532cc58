"""Rollouts: plans that are carried out, and how far they are."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import Field

from fleet.api.form import Answer, Part, Request
from fleet.rollouts.states import Hold, HostState, RolloutState, WaveState


class RolloutHost(Part):
    """Where one host stands in a rollout."""

    host: str
    host_id: UUID
    wave: int = 0
    state: HostState
    tries: int = 0
    reason: str = ""
    failure: str | None = None
    """Whose fault its latest failed try is: ``release``, ``infrastructure``, ``engine`` or ``timeout``."""
    containers: tuple[str, ...] = ()
    """What it shall update."""
    refused: str = ""
    """Why nothing is sent to it although its turn is still to come, and what to do about it; empty where it is not so."""
    missed_windows: int = 0
    """How many windows in which it might have gone are over since its wave was opened; it still waits."""
    phase: str = ""
    """What it does at this moment: ``pull``, ``create``, ``stop``, ``start``, ``verify``, ``rollback``."""
    container: str = ""
    """Which container that is about."""
    bytes: int = 0
    total: int = 0
    """0: not known."""
    mirror: str = ""
    """The source that serves."""
    changed_at: datetime | None = None


class Rollout(Part):
    """One rollout."""

    id: UUID
    number: int
    """For people: ``#42``."""
    state: RolloutState
    holds: tuple[Hold, ...] = ()
    asked_by: str
    plan_id: UUID | None = None
    way_back_of: UUID | None = None
    """The rollout that this one undoes."""
    superseded_by: UUID | None = None
    """A newer rollout of the same images to the same hosts."""
    reason: str = ""
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    counts: dict[HostState, int] = Field(default_factory=dict)
    """How many hosts are in which state."""


class WavePart(Part):
    """What is told of every wave, of a rollout or of a rehearsal."""

    number: int
    """Its place, from 0."""
    state: WaveState
    opened_at: datetime | None = None
    ended_at: datetime | None = None
    counts: dict[HostState, int] = Field(default_factory=dict)

    @property
    def words(self) -> str:
        """The state as people read it: a wave that the rollout ended before did not fail, it was never opened."""
        return "never opened" if self.state is WaveState.FAILED and self.opened_at is None else self.state.value


class Wave(WavePart):
    """One wave of a rollout."""

    soak_since: datetime | None = None
    """Since when it soaks; None: its gate is not met, or it needs none."""
    approved_by: str | None = None
    decided_by: str | None = None
    """Who waived or last retried it."""
    reason: str | None = None
    evidence: dict[str, int] | None = None
    """The numbers that its gate was judged by."""


class RolloutImage(Part):
    """What a rollout brings: one image at one digest."""

    image: str
    """Canonical registry/repository:tag."""
    digest: str
    old_digests: tuple[str, ...] = ()
    """What ran before, the most frequent first, without those that nobody knew."""
    containers: int
    """To how many."""


class RolloutAnswer(Answer):
    """One rollout with its hosts."""

    rollout: Rollout
    images: tuple[RolloutImage, ...] = ()
    """What it brings, to most containers first."""
    waves: tuple[Wave, ...] = ()
    hosts: tuple[RolloutHost, ...] = ()
    spec: dict[str, Any] = Field(default_factory=dict)
    frozen: str = ""
    """The freeze that every host whose turn is still to come is under, refused ones aside, in words; empty: there is none.
    """
    window: str = ""
    """When the next window opens to hosts that wait for one, and which of them missed some, in words; empty: there is nothing
    to say of windows.
    """
    warnings: tuple[str, ...] = ()
    """What of its spec keeps hosts whose turn is still to come from ever having it, as things stand now."""
    undoes: int | None = None
    """The number of the rollout that this one undoes."""
    undone_by: tuple[int, ...] = ()
    """The numbers of its ways back, oldest first."""


class Rollouts(Answer):
    """Rollouts, newest first."""

    rollouts: tuple[Rollout, ...]
    next_page: str | None = None
    """What to ask for the page after; None: this is the last."""


class StopRollout(Request):
    """Send nothing new: for good, or until it is resumed."""

    reason: str = Field(default="", max_length=500)


class UndoRollout(StopRollout):
    """Bring back what a rollout updated."""

    hosts: tuple[str, ...] = Field(default=(), max_length=1000)
    """By name or pattern, which of its hosts alone; none: all of them."""


class ResumeRollout(Request):
    """Take one hold away, and no other."""

    hold: Hold = Hold.USER
    reason: str = Field(default="", max_length=500)


class AnswerWave(Request):
    """Approve, waive or retry a wave."""

    wave: int | None = Field(default=None, ge=1, le=100)
    """Its place, from 1; None: the one that it is about now."""
    reason: str = Field(default="", max_length=500)


class Undone(Answer):
    """What became of an undo."""

    rollout_id: UUID | None = None
    """The rollout that brings back what was updated; None: it is made once nothing is live any more."""
    rollout: int | None = None
    """Its number."""
