"""The routes of the history."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query

from fleet.api.history import HistoryPage, HistoryQuery, OutcomeRow, Pull, Update, UpdateAnswer
from fleet.history import queries
from fleet.history.pages import PageRequest
from fleet.history.queries import OutcomeFilter
from fleet.web.callers import Reader
from fleet.web.centre import Centre, ThisCentre

router = APIRouter(prefix="/history", tags=["history"])


@router.get("")
def list_history(centre: ThisCentre, _: Reader, query: Annotated[HistoryQuery, Query()]) -> HistoryPage:
    """List what came of updates, newest first; everything given must hold."""
    page = queries.outcomes(centre.db, _filter(centre, query), PageRequest(limit=query.limit, cursor=query.page or ""))
    return HistoryPage(
        outcomes=tuple(OutcomeRow.model_validate(row) for row in page.items), next_page=page.next or None
    )


@router.get("/{id}")
def show_outcome(centre: ThisCentre, _: Reader, id: str) -> UpdateAnswer:
    """Show one update in full, by its id or the last 8 digits of it."""
    found = queries.outcome(centre.db, id)
    pull = Pull.model_validate(found.pull) if found.pull else None
    return UpdateAnswer(update=Update.model_validate(found.outcome), pull=pull)


def _filter(centre: Centre, query: HistoryQuery) -> OutcomeFilter:
    given: dict[str, Any] = query.model_dump(exclude_none=True, exclude={"limit", "page", "rollout"})
    if str(given.get("image", "")).startswith("sha256:"):
        given["digest"] = given.pop("image")
    rollout: UUID | None = queries.rollout(centre.db, query.rollout).rollout.id if query.rollout else None
    return OutcomeFilter(**given, rollout=rollout)
