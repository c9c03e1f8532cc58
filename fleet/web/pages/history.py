"""The history in a browser: the query language in one field, pages of outcomes, one outcome in full."""

import csv
import shlex
from collections.abc import Iterator
from io import StringIO
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from starlette.responses import StreamingResponse

from fleet.api.csv_form import cell
from fleet.api.history import LARGEST_PAGE, HistoryPage, HistoryQuery, OutcomeRow
from fleet.api.questions import WhoRuns
from fleet.errors import BadInput
from fleet.history.questions.language import BadQuery
from fleet.updates.outcome import Result
from fleet.web import history as api
from fleet.web import questions
from fleet.web.callers import Caller
from fleet.web.centre import Centre, ThisCentre
from fleet.web.pages.shell import HEADERS, TEXT, PageRoute, render
from fleet.web.pages.visitors import Visitor

router = APIRouter(route_class=PageRoute, include_in_schema=False)

SHOWN_RUNS = 200
"""How many containers one page of who runs something holds."""
MOST_LINES = 100_000
"""How many outcomes one file holds; a terminal writes them all."""
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
    q: Annotated[str, Query(max_length=2000, pattern=TEXT)] = "",
    page: Annotated[str, Query(max_length=1000, pattern=TEXT)] = "",
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


@router.get("/who-runs")
def who_runs(
    request: Request,
    centre: ThisCentre,
    visitor: Visitor,
    wanted: Annotated[str, Query(max_length=600, pattern=TEXT)] = "",
    page: Annotated[str, Query(max_length=1000, pattern=TEXT)] = "",
) -> Response:
    """Show who runs a digest or an image now, since when, and which mirror brought it."""
    found, wrong = WhoRuns(runs=()), ""
    try:
        if wanted:
            found = questions.list_who_runs(centre, visitor, wanted, limit=SHOWN_RUNS, page=page)
    except BadInput as error:
        wrong = str(error)
    more = f"/who-runs?{urlencode({'wanted': wanted, 'page': found.next_page})}" if found.next_page else ""
    facts = {"wanted": wanted, "runs": found.runs, "wrong": wrong, "more": more}
    command = shlex.join(["fleet", "history", "who-runs", wanted])
    return render(request, "who_runs.html", status=422 if wrong else 200, visitor=visitor, command=command, **facts)


@router.get("/history.csv")
def history_as_csv(
    centre: ThisCentre, visitor: Visitor, q: Annotated[str, Query(max_length=2000, pattern=TEXT)] = ""
) -> StreamingResponse:
    """Send what fits as CSV, newest first, page by page as it is read; at most :data:`MOST_LINES` outcomes."""
    first = api.list_history(centre, visitor, HistoryQuery(q=q, limit=LARGEST_PAGE))
    headers = {**HEADERS, "Content-Disposition": 'attachment; filename="history.csv"'}
    return StreamingResponse(_csv(centre, visitor, q, first), media_type="text/csv; charset=utf-8", headers=headers)


def _csv(centre: Centre, visitor: Caller, q: str, page: HistoryPage) -> Iterator[str]:
    """Yield a line of names, and the outcomes of *page* and of those after it, each in one piece."""
    text = StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(OutcomeRow.model_fields)
    left = MOST_LINES
    while True:
        for outcome in page.outcomes[:left]:
            lines.writerow(map(cell, outcome.model_dump(mode="json").values()))
        left -= len(page.outcomes)
        yield text.getvalue()
        text.seek(0)
        text.truncate()
        if left <= 0 or page.next_page is None:
            return
        page = api.list_history(centre, visitor, HistoryQuery(q=q, limit=LARGEST_PAGE, page=page.next_page))


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
