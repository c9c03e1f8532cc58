"""Schedules: what is done by the clock."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import Field

from fleet.api.form import Answer, Name, Part, Request
from fleet.api.selectors import Selector
from fleet.history.words import ScheduleAction


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


class ScheduleAnswer(Answer):
    """One schedule, in words and with its next runs."""

    schedule: Schedule
    explained: str = ""
    """The cron expression in words."""
    next_runs: tuple[datetime, ...] = ()


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
    """Let it run, or not."""

    enabled: bool
