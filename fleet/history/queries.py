"""Questions to the history, in the words that people use: host, image, digest, mirror, outcome, since, until, by, rollout."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from fleet.history.database import Database
from fleet.history.pages import FIRST, Page, PageRequest
from fleet.history.words import Purpose
from fleet.mirrors.attempt import AttemptResult
from fleet.mirrors.source import Role
from fleet.rollouts.spec import RolloutSpec
from fleet.rollouts.states import CommandState, Hold, HostState, RolloutState, WaveState
from fleet.updates.outcome import Result, Tier


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeFilter:
    """Which outcomes are wanted; an empty part wants all."""

    host: str = ""
    """A name, an id or a glob over names."""
    image: str = ""
    """A reference, with a tag or without."""
    digest: str = ""
    """Old or new; a prefix of at least 12 hex digits will do."""
    container: str = ""
    """A name or a glob."""
    mirror: str = ""
    """An endpoint, or a part of one."""
    outcome: Result | None = None
    since: datetime | None = None
    until: datetime | None = None
    by: str = ""
    """Who asked: the whole text (``person:anna``) or what follows the colon."""
    rollout: UUID | int | None = None
    """The id or the number of a rollout."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeRow:
    """What came of one container in one command."""

    id: UUID
    command_id: UUID
    rollout_id: UUID
    host_id: UUID
    host: str
    """The host's name now."""
    pull_id: UUID | None
    asked_by: str
    container: str
    image: str
    repository: str
    result: Result
    reason: str
    old_digest: str
    new_digest: str
    old_image_id: str
    new_image_id: str
    old_container_id: str
    new_container_id: str
    mirror: str
    config_diff: tuple[str, ...]
    pull_ms: int | None
    create_ms: int | None
    stop_ms: int | None
    start_ms: int | None
    verify_ms: int | None
    rollback_ms: int | None
    downtime_ms: int | None
    finished_at: datetime
    recorded_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRow:
    """One source tried in one pull."""

    seq: int
    mirror: str
    role: Role
    result: AttemptResult
    reason: str
    status: int
    bytes: int
    requests: int
    failures: int
    first_byte_ms: int | None
    duration_ms: int
    resumed_at: tuple[int, ...]
    verified: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PullRow:
    """One pull, with every source tried."""

    id: UUID
    image: str
    digest: str
    image_id: str
    tier: Tier
    purpose: Purpose
    ok: bool
    reason: str
    mirror: str
    bytes: int
    duration_ms: int
    recorded_at: datetime
    attempts: tuple[AttemptRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeDetail:
    """One outcome with its pull."""

    outcome: OutcomeRow
    pull: PullRow | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveRow:
    """One wave, with how many of its hosts are in which state."""

    number: int
    state: WaveState
    opened_at: datetime | None
    ended_at: datetime | None
    counts: dict[HostState, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutRow:
    """One rollout."""

    id: UUID
    number: int
    """For people: ``#42``."""
    state: RolloutState
    spec: RolloutSpec
    holds: frozenset[Hold]
    asked_by: str
    plan_id: UUID | None
    reason: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    counts: dict[HostState, int]
    """How many of its hosts are in which state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutHostRow:
    """One host in a rollout."""

    host_id: UUID
    host: str
    wave: int
    position: int
    state: HostState
    targets: tuple[dict[str, Any], ...]
    tries: int
    command_id: UUID | None
    reason: str
    not_before: datetime | None
    changed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutDetail:
    """One rollout with its waves and hosts."""

    rollout: RolloutRow
    waves: tuple[WaveRow, ...]
    hosts: tuple[RolloutHostRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressRow:
    """How far one live host of a rollout is."""

    command_id: UUID
    host_id: UUID
    host: str
    state: CommandState
    container: str
    """Empty: all of the command."""
    phase: str
    """Empty: nothing was told yet."""
    bytes: int
    total: int
    mirror: str
    at: datetime | None


def outcomes(db: Database, filter: OutcomeFilter, page: PageRequest = FIRST) -> Page[OutcomeRow]:
    """Return what came of updates, newest first; raises BadInput for a filter that cannot be used."""
    raise NotImplementedError


def outcome(db: Database, id: UUID | str) -> OutcomeDetail:
    """Return one outcome with its pull and attempts, by its id or its last 8 hex digits; raises NotFound."""
    raise NotImplementedError


def rollout(db: Database, id_or_number: UUID | int | str) -> RolloutDetail:
    """Return one rollout by id, number, ``#number`` or the last 8 hex digits of its id; raises NotFound."""
    raise NotImplementedError


def rollouts(db: Database, page: PageRequest = FIRST) -> Page[RolloutRow]:
    """Return rollouts, newest first."""
    raise NotImplementedError


def progress(db: Database, rollout_id: UUID) -> list[ProgressRow]:
    """Return how far the live hosts of a rollout are, by host name."""
    raise NotImplementedError
