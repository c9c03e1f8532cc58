"""The route of the audit: it is read, and nothing of it is ever changed through this door."""

from typing import Annotated

from fastapi import APIRouter, Query

from fleet.api.form import Instant
from fleet.api.history import LARGEST_PAGE
from fleet.api.questions import Act, AuditPage
from fleet.history.noted import audit
from fleet.history.sql.pages import PageRequest
from fleet.web.callers import Reader
from fleet.web.centre import ThisCentre

router = APIRouter(prefix="/audit", tags=["audit"])

Text = Annotated[str, Query(max_length=600)]


@router.get("")
def list_acts(
    centre: ThisCentre,
    _: Reader,
    who: Text = "",
    subject: Text = "",
    action: Text = "",
    since: Instant | None = None,
    until: Instant | None = None,
    limit: Annotated[int, Query(ge=1, le=LARGEST_PAGE)] = 50,
    page: Text = "",
) -> AuditPage:
    """List who did what, through which door, newest first; everything given must hold."""
    asked = PageRequest(limit=limit, cursor=page)
    found = audit.acts(centre.db, asked, who=who, subject=subject, action=action, since=since, until=until)
    return AuditPage(acts=tuple(Act.model_validate(row) for row in found.items), next_page=found.next or None)
