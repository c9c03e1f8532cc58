"""Answers of the history beyond single outcomes: who runs what, what changed, how mirrors did, how long things take."""

from datetime import datetime
from typing import Any
from uuid import UUID

from fleet.api.form import Answer, Part
from fleet.api.history import OutcomeRow
from fleet.mirrors.source import Role


class Runs(Part):
    """One container that runs what was asked for."""

    host: str
    host_id: UUID
    container: str
    container_id: str
    image: str
    digest: str
    state: str
    first_seen_at: datetime
    """When a snapshot first held the container."""
    update_id: UUID | None = None
    """The update that made it; None: Fleet did not make it."""
    since: datetime | None = None
    mirror: str = ""
    """The source that served the most bytes of it; empty: none, or not known."""
    asked_by: str = ""


class WhoRuns(Answer):
    """One page of those who run a digest or an image, by host."""

    runs: tuple[Runs, ...]
    next_page: str | None = None


class Change(Part):
    """What became of one container in a time."""

    host: str
    container: str
    image: str
    before: str
    """The digest that ran before; empty: not known."""
    after: str
    updates: int
    changed: int
    failures: int
    reason: str = ""
    """Of the last failure."""
    config_diff: tuple[str, ...] = ()
    last_at: datetime


class Changed(Answer):
    """What changed, by host and container."""

    changes: tuple[Change, ...]
    complete: bool
    """False: there were more updates than are read at once; these are the newest."""


class Chain(Answer):
    """What one container was brought to, newest first; each old digest is a way back."""

    host: str
    container: str
    outcomes: tuple[OutcomeRow, ...]
    next_page: str | None = None


class MirrorDay(Part):
    """One source on one day (UTC)."""

    mirror: str
    day: str
    pulls: int
    served: int
    failures: int
    passed_over: int
    """Pulls in which it was not asked, because it had failed a moment before."""
    fallbacks: int
    """Pulls that it served after a source before it had not."""
    bytes: int
    duration_ms: int
    """Time spent receiving these bytes."""
    requests: int


class ServedHost(Part):
    """How much of a source went to one host."""

    mirror: str
    host: str
    host_id: UUID
    pulls: int
    bytes: int


class MirrorDays(Answer):
    """How the sources did, day by day."""

    days: tuple[MirrorDay, ...]
    served: tuple[ServedHost, ...] = ()
    """Whom the source served; only where a single one was asked for."""
    looked_at: int = 0
    """Over how many of its newest attempts that was counted."""


class Phase(Part):
    """How long one phase took, over the updates that reached it."""

    phase: str
    updates: int
    p50_ms: int
    p95_ms: int
    most_ms: int


class DurationsAnswer(Answer):
    """How long updates take."""

    phases: tuple[Phase, ...]
    looked_at: int
    """Over how many updates, the newest that fit, that was counted."""


class Compared(Part):
    """How the pulls did that one role served."""

    role: Role
    pulls: int
    bytes: int
    p50_ms: int
    p95_ms: int
    bytes_per_s: int


class ComparedAnswer(Answer):
    """Pulls that a mirror served beside those that the origin served."""

    rows: tuple[Compared, ...]
    looked_at: int
    failed: int = 0
    """How many of the newest pulls no source could serve."""


class Act(Part):
    """One act of the audit."""

    id: UUID
    at: datetime
    who: str
    door: str
    action: str
    subject: str
    details: dict[str, Any]


class AuditPage(Answer):
    """One page of the audit, newest first."""

    acts: tuple[Act, ...]
    next_page: str | None = None
