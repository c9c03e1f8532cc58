"""What hosts may do and how: documents for the fleet, for labels and for single hosts."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from fleet.history.database import Database
from fleet.history.words import PolicyKind
from fleet.updates.command import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRow:
    """One document, as a person wrote it: only what it sets."""

    kind: PolicyKind
    subject: str
    """Empty for the fleet, ``name=value`` of the label, or the host's id in hex."""
    document: dict[str, Any]
    version: int
    changed_by: str
    changed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectivePolicy:
    """What holds for one host: fleet, overridden by its labels' documents, overridden by its own."""

    document: dict[str, Any]
    policy: Policy
    hash: str
    """Of the document; a plan keeps it, and is stale once it is another one."""


def policy(db: Database, kind: PolicyKind, subject: str = "") -> PolicyRow | None:
    """Return one document; None where nobody wrote one."""
    raise NotImplementedError


def policies(db: Database) -> list[PolicyRow]:
    """Return every document, fleet first."""
    raise NotImplementedError


def set_policy(
    db: Database, kind: PolicyKind, subject: str, document: Mapping[str, Any], *, by: str, door: str
) -> PolicyRow:
    """Write one document; an empty one takes it away. Raises BadInput where it cannot be used, NotFound for a host."""
    raise NotImplementedError


def effective_policy(db: Database, host_id: UUID) -> EffectivePolicy:
    """Return what holds for one host; raises NotFound."""
    raise NotImplementedError


def effective_policies(db: Database) -> dict[UUID, EffectivePolicy]:
    """Return what holds for every host that was not removed."""
    raise NotImplementedError
