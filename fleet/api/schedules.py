"""Schedules: what is done by the clock."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import Field

from fleet.api.form import Answer, Name, Part, Request
from fleet.api.selectors import Selector
from fleet.history.tables.words import ScheduleAction


class Schedule(Part):
    """One schedule."""

    id: UUID
    name: str
    cron: str
    zone: str
    action: ScheduleAction
    selector: dict[str, Any] = Field(default_factory=dict)
    spec: dict[str, Any] | None = None
    enabled: bool = True
    created_by: str = ""
    created_at: datetime
    next_run_at: datetime | None = None
    last_run_at: datetime | None = None
    last_result: str = ""
    late_ms: int | None = None
    """How late a run may begin; later it is missed. None: however late."""
    missed: int = 0
    """How many runs never began."""
    last_missed_at: datetime | None = None
    """When the latest of them was due."""


class ScheduleRun(Part):
    """One time at which a schedule will run."""

    schedule: str
    """Its name."""
    action: ScheduleAction
    at: datetime
    zone: str
    local: str
    """What the clocks of its zone show then, with their offset."""
    note: str = ""
    """What a change of clocks does to it; empty: nothing."""


class ScheduleRuns(Answer):
    """The next runs of one schedule or of all, soonest first."""

    runs: tuple[ScheduleRun, ...]


class ScheduleAnswer(Answer):
    """One schedule, in words and with its next runs."""

    schedule: Schedule
    explained: str = ""
    """The cron expression in words."""
    next_runs: tuple[datetime, ...] = ()
    runs: tuple[ScheduleRun, ...] = ()
    """The same runs, with what the clocks of its zone show then."""
    clock_notes: tuple[str, ...] = ()
    """What changes of clocks do to its runs within a year."""


class Schedules(Answer):
    """All schedules."""

    schedules: tuple[Schedule, ...]


class CreateSchedule(Request):
    """Let something be done by the clock."""

    name: Name
    cron: str = Field(min_length=1, max_length=120)
    zone: str = Field(default="UTC", min_length=1, max_length=80)
    action: ScheduleAction = ScheduleAction.CHECK
    selector: Selector = Selector()
    spec: dict[str, Any] | None = None
    spec_text: str | None = Field(default=None, max_length=1_000_000)
    """The spec as people write it, YAML or JSON, in place of *spec*."""
    spec_name: str = Field(default="the rollout's spec", max_length=300)
    late_ms: int | None = Field(default=None, gt=0, le=366 * 86_400_000)
    """How late a run may begin; later it is missed. None: it is made good however late."""


class ChangeSchedule(Request):
    """Change what is given, and leave the rest."""

    enabled: bool | None = None
    cron: str | None = Field(default=None, min_length=1, max_length=120)
    zone: str | None = Field(default=None, min_length=1, max_length=80)
    action: ScheduleAction | None = None
    selector: Selector | None = None
    """What it shall choose in place of all that it chose; an empty one is everything."""
    spec_text: str | None = Field(default=None, max_length=1_000_000)
    """The spec of its rollouts, as people write it; empty: none any more."""
    spec_name: str = Field(default="the rollout's spec", max_length=300)
    late_ms: int | None = Field(default=None, ge=0, le=366 * 86_400_000)
    """How late a run may begin; 0: however late."""
