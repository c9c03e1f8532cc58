"""The history: what came of each container's update, with its pull and every source tried."""

from datetime import datetime
from uuid import UUID

from pydantic import Field

from fleet.api.form import Answer, Instant, Part, Request
from fleet.history.tables.words import Purpose
from fleet.mirrors.attempt import AttemptResult
from fleet.mirrors.source import Role
from fleet.updates.outcome import Result, Tier

LARGEST_PAGE = 500


class HistoryQuery(Request):
    """What to look for; everything given must hold."""

    q: str | None = Field(default=None, max_length=2000)
    """A query in the words of the history: ``host:web-1 -outcome:updated since:2h``."""
    host: str | None = None
    """A host's name or id."""
    image: str | None = None
    """A reference, with its tag or without, or a digest."""
    container: str | None = None
    digest: str | None = None
    """What ran before or after."""
    mirror: str | None = None
    """The source that served the most bytes."""
    outcome: Result | None = None
    by: str | None = None
    """Who asked: a person, a schedule or a rollout."""
    rollout: str | None = None
    since: Instant | None = None
    until: Instant | None = None
    limit: int = Field(default=50, ge=1, le=LARGEST_PAGE)
    page: str | None = Field(default=None, max_length=1000)
    """``next_page`` of the page before."""


class OutcomeRow(Part):
    """What came of one update, in one line."""

    id: UUID
    host: str
    host_id: UUID
    container: str
    image: str
    result: Result
    back: bool = False
    """Whether it was asked for to go back to what ran before."""
    reason: str = ""
    old_digest: str = ""
    new_digest: str = ""
    mirror: str = ""
    """The source that served the most bytes; empty: none, or not known."""
    pull_ms: int | None = None
    downtime_ms: int | None = None
    asked_by: str
    rollout_id: UUID
    rollout: int | None = None
    """The number of its rollout, ``#42`` for people; null: that is not there any more."""
    recorded_at: datetime


class HistoryPage(Answer):
    """One page, newest first."""

    outcomes: tuple[OutcomeRow, ...]
    next_page: str | None = None
    """What to ask for the page after; None: this is the last."""


class PullAttempt(Part):
    """One source tried."""

    seq: int
    mirror: str
    role: Role
    result: AttemptResult
    reason: str = ""
    status: int = 0
    bytes: int = 0
    requests: int = 0
    failures: int = 0
    first_byte_ms: int | None = None
    duration_ms: int = 0
    resumed_at: tuple[int, ...] = ()
    verified: bool = False
    redirected_to: tuple[str, ...] | None = None
    """The hosts to which it sent for bytes; null: written before that was told."""


class Pull(Part):
    """The pull that an update needed."""

    id: UUID
    image: str
    digest: str
    image_id: str = ""
    tier: Tier
    purpose: Purpose = Purpose.UPDATE
    ok: bool
    reason: str = ""
    mirror: str = ""
    bytes: int = 0
    duration_ms: int = 0
    attempts: tuple[PullAttempt, ...] = ()


class Update(OutcomeRow):
    """One update in full."""

    command_id: UUID
    old_image_id: str = ""
    new_image_id: str = ""
    old_container_id: str = ""
    new_container_id: str = ""
    config_diff: tuple[str, ...] = ()
    create_ms: int | None = None
    stop_ms: int | None = None
    start_ms: int | None = None
    verify_ms: int | None = None
    rollback_ms: int | None = None
    finished_at: datetime
    """By the host's clock."""


class UpdateAnswer(Answer):
    """One update, with the pull that it needed."""

    update: Update
    pull: Pull | None = None
    """None: it needed none."""
