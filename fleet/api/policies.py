"""Policies: what hosts may do and how, as people wrote it."""

from datetime import datetime
from typing import Any

from pydantic import Field

from fleet.api.form import Answer, Part, Request
from fleet.history.tables.words import PolicyKind


class Policy(Part):
    """One policy document, with what it sets alone."""

    kind: PolicyKind
    subject: str = ""
    """Empty for the fleet, ``name=value`` of the label, or the host's name."""
    document: dict[str, Any] = Field(default_factory=dict)
    version: int = 0
    changed_by: str = ""
    changed_at: datetime | None = None


class Policies(Answer):
    """All policy documents, and where a host was named, what holds for it."""

    policies: tuple[Policy, ...]
    effective: dict[str, Any] | None = None


class SetPolicy(Request):
    """Write the document of the fleet, of a label or of a host."""

    kind: PolicyKind = PolicyKind.FLEET
    subject: str = Field(default="", max_length=255)
    document: dict[str, Any]
