"""Stops: what people said shall not be updated for now."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import Field

from fleet.api.form import Answer, Instant, Part, Request
from fleet.api.selectors import Selector
from fleet.rollouts.stops import StopKind


class Stop(Part):
    """One freeze, hold, snooze or skip."""

    id: UUID
    kind: StopKind
    selector: dict[str, Any] = Field(default_factory=dict)
    digest: str = ""
    reason: str = ""
    created_by: str = ""
    created_at: datetime
    ends_at: datetime | None = None
    """None: until it is lifted."""
    lifted_by: str = ""
    lifted_at: datetime | None = None


class StopAnswer(Answer):
    """One stop."""

    stop: Stop


class Stops(Answer):
    """The stops that hold, oldest first."""

    stops: tuple[Stop, ...]


class CreateStop(Request):
    """Let something not be updated for now."""

    kind: StopKind
    selector: Selector = Selector()
    digest: str = Field(default="", max_length=200)
    """For a skip: which digest; empty: the one that the image's tag was last seen to have."""
    reason: str = Field(default="", max_length=500)
    ends_at: Instant | None = None
    for_ms: int | None = Field(default=None, gt=0, le=366 * 86_400_000)
    """How long from now by the centre's clock, in place of an end."""
