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


class ChangeSchedule(Request):
    """Let it run, or not."""

    enabled: bool
