"""What is done by the clock."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from fleet.history.database import Database
from fleet.history.words import ScheduleAction
from fleet.rollouts.selector import Selector
from fleet.rollouts.spec import RolloutSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleRow:
    """One schedule."""

    id: UUID
    name: str
    cron: str
    zone: str
    action: ScheduleAction
    selector: Selector
    spec: RolloutSpec | None
    enabled: bool
    created_by: str
    created_at: datetime
    next_run_at: datetime | None
    last_run_at: datetime | None
    last_result: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DueSchedule:
    """A schedule whose time has come, leased to whoever claimed it."""

    schedule: ScheduleRow
    due_at: datetime
    """When it was due."""


def create_schedule(
    db: Database,
    *,
    name: str,
    cron: str,
    zone: str,
    action: ScheduleAction,
    selector: Selector,
    spec: RolloutSpec | None = None,
    by: str,
    door: str,
) -> ScheduleRow:
    """Create a schedule; raises BadInput for a cron or zone that cannot be used, Refused where the name is taken."""
    raise NotImplementedError


def schedule(db: Database, name_or_id: str | UUID) -> ScheduleRow:
    """Return the schedule with this name or id; raises NotFound."""
    raise NotImplementedError


def schedules(db: Database) -> list[ScheduleRow]:
    """Return every schedule, by name."""
    raise NotImplementedError


def enable_schedule(db: Database, name_or_id: str | UUID, *, enabled: bool, by: str, door: str) -> ScheduleRow:
    """Pause a schedule, or let it run again from its next time on; raises NotFound."""
    raise NotImplementedError


def delete_schedule(db: Database, name_or_id: str | UUID, *, by: str, door: str) -> None:
    """Delete a schedule; what it did stays in the history. Raises NotFound."""
    raise NotImplementedError


def run_schedule_now(db: Database, name_or_id: str | UUID, *, by: str, door: str) -> ScheduleRow:
    """Make a schedule due at once; raises NotFound, and Refused where it is paused."""
    raise NotImplementedError


def claim_due(db: Database, now: datetime) -> list[DueSchedule]:
    """Return the schedules that are due at *now*, each to one caller alone; one that is not told of by ``ran`` within
    ten minutes is due again.
    """
    raise NotImplementedError


def ran(db: Database, id: UUID, result: str, next_run_at: datetime) -> None:
    """Write down what came of a run, and when the next one is."""
    raise NotImplementedError
