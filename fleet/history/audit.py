"""Who did what, through which door."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from fleet.history.database import Database
from fleet.history.pages import FIRST, Page, PageRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRow:
    """One act."""

    id: UUID
    who: str
    door: str
    action: str
    subject: str
    details: dict[str, Any]
    at: datetime


def record(
    db: Database, *, by: str, door: str, action: str, subject: str, details: Mapping[str, Any] | None = None
) -> None:
    """Write down one act that no other function of this room wrote down already; *details* hold no secret."""
    raise NotImplementedError


def acts(db: Database, page: PageRequest = FIRST) -> Page[AuditRow]:
    """Return what was done, newest first."""
    raise NotImplementedError
