"""The history in a browser: the query language in one field, pages of outcomes, one outcome in full."""

import shlex
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response

from fleet.api.history import LARGEST_PAGE, HistoryPage, HistoryQuery
from fleet.errors import BadInput
from fleet.history.language import BadQuery
from fleet.updates.outcome import Result
from fleet.web import history as api
from fleet.web.centre import ThisCentre
from fleet.web.pages.shell import PageRoute, render
from fleet.web.pages.visitors import Visitor

router = APIRouter(route_class=PageRoute, include_in_schema=False)

EXAMPLES = (
    ("outcome:failed,rolled_back since:7d", "what went wrong this week"),
    ("image:nginx -outcome:updated", "one image, all but what went well"),
    ("mirror:harbor.example.com since:24h", "what one mirror served"),
    ('by:alice "port is already"', "one person's, with words of the reason"),
)


@router.get("/history")
def history(
    request: Request,
    centre: ThisCentre,
    visitor: Visitor,
    q: Annotated[str, Query(max_length=2000)] = "",
    page: Annotated[str, Query(max_length=1000)] = "",
    limit: Annotated[int, Query(ge=1, le=LARGEST_PAGE)] = 50,
) -> Response:
    """Show the outcomes that fit, newest first; of a query that is wrong, where."""
    facts: dict[str, Any] = {"visitor": visitor, "q": q, "examples": EXAMPLES, "command": _command(q)}
    try:
        found = api.list_history(centre, visitor, HistoryQuery(q=q, page=page or None, limit=limit))
    except BadInput as error:
        pointer = error.pointer if isinstance(error, BadQuery) else ""
        nothing = HistoryPage(outcomes=())
        return render(
            request, "history.html", status=422, found=nothing, wrong=str(error), pointer=pointer, more="", **facts
        )
    more = f"/history?{urlencode({'q': q, 'limit': limit, 'page': found.next_page})}" if found.next_page else ""
    return render(request, "history.html", found=found, wrong="", pointer="", more=more, **facts)


@router.get("/history/{id}")
def outcome(request: Request, centre: ThisCentre, visitor: Visitor, id: str) -> Response:
    """Show one outcome: its pull, every source tried and why, the time of each phase, what changed."""
    found = api.show_outcome(centre, visitor, id)
    update = found.update
    phases = [
        (name, took)
        for name, took in (
            ("pull", update.pull_ms),
            ("create", update.create_ms),
            ("stop", update.stop_ms),
            ("start", update.start_ms),
            ("verify", update.verify_ms),
            ("roll back", update.rollback_ms),
        )
        if took is not None
    ]
    return render(
        request,
        "outcome.html",
        visitor=visitor,
        update=update,
        pull=found.pull,
        phases=phases,
        longest_ms=max((took for _, took in phases), default=0),
        ran=update.result in (Result.UPDATED, Result.ALREADY_CURRENT),
        undo=shlex.join(["fleet", "undo", update.host, update.container]),
    )


def _command(q: str) -> str:
    """Return how the same is asked at a terminal."""
    return f"fleet history {shlex.quote(q)}" if q else "fleet history"
