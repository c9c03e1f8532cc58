"""Plans that were made, and how one becomes a rollout."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from fleet.history.database import Database
from fleet.rollouts.plan import PlanDocument
from fleet.rollouts.selector import Selector
from fleet.rollouts.spec import RolloutSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRow:
    """One plan."""

    id: UUID
    selector: Selector
    document: PlanDocument
    asked_by: str
    created_at: datetime
    expires_at: datetime
    rollout_id: UUID | None
    """The rollout that it became; None: it was not applied."""


def save_plan(db: Database, *, selector: Selector, document: PlanDocument, by: str) -> PlanRow:
    """Keep a plan, so that it may be applied within 24 hours."""
    raise NotImplementedError


def plan(db: Database, id: UUID | str) -> PlanRow:
    """Return the plan with this id, or with these last 8 hex digits of its id; raises NotFound."""
    raise NotImplementedError


def apply_plan(
    db: Database, id: UUID | str, *, by: str, door: str, spec: RolloutSpec | None = None, reason: str = ""
) -> UUID:
    """Make the plan a rollout and return its id; raises NotFound, and Refused where the plan is stale, naming what moved.

    Stale means: a container's id or image changed, a host's policy changed, a tag has another digest, or 24 h passed.
    """
    raise NotImplementedError
