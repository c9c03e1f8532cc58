"""The routes of what the history answers beyond single outcomes."""

from datetime import UTC, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import AfterValidator

from fleet.api import questions as api
from fleet.api.history import LARGEST_PAGE, OutcomeRow
from fleet.errors import BadInput
from fleet.history.inventory import hosts
from fleet.history.questions import changes, durations, mirror_report, who_runs
from fleet.history.questions.language_parse import parse
from fleet.history.questions.language_times import When, read_when
from fleet.history.sql.pages import PageRequest
from fleet.rollouts.selector import is_glob
from fleet.web.callers import Reader
from fleet.web.centre import Centre, ThisCentre

router = APIRouter(prefix="/history", tags=["history"])


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("it holds a NUL, which PostgreSQL cannot look for")
    return text


Text = Annotated[str, Query(min_length=1, max_length=600), AfterValidator(_without_nul)]
Limit = Annotated[int, Query(ge=1, le=LARGEST_PAGE)]
Cursor = Annotated[str, Query(max_length=1000), AfterValidator(_without_nul)]
Time = Annotated[str, Query(max_length=100)]


@router.get("/who-runs")
def list_who_runs(
    centre: ThisCentre, _: Reader, wanted: Text, limit: Limit = LARGEST_PAGE, page: Cursor = ""
) -> api.WhoRuns:
    """List who runs a digest (12 hex digits will do) or an image now, since when, and which mirror brought it."""
    found = who_runs.who_runs(centre.db, wanted, PageRequest(limit=limit, cursor=page))
    return api.WhoRuns(runs=_parts(api.Runs, found.items), next_page=found.next or None)


@router.get("/changes")
def show_changes(centre: ThisCentre, _: Reader, host: Text, since: Time = "7d", until: Time = "") -> api.Changed:
    """Say what changed on a host (a name, an id, a pattern) between two times, written as in a query."""
    found = changes.changes(centre.db, host, _time(since), _time(until) if until else None)
    if not found.rows:
        _known(centre, host)
    return api.Changed(changes=_parts(api.Change, found.rows), complete=found.complete)


@router.get("/chain")
def show_chain(
    centre: ThisCentre, _: Reader, host: Text, container: Text, limit: Limit = 50, page: Cursor = ""
) -> api.Chain:
    """List what one container was brought to, newest first."""
    found, following = changes.chain(centre.db, host, container, PageRequest(limit=limit, cursor=page))
    if not found:
        _known(centre, host)
    return api.Chain(host=host, container=container, outcomes=_parts(OutcomeRow, found), next_page=following or None)


@router.get("/mirrors")
def show_mirror_days(
    centre: ThisCentre, _: Reader, mirror: str = "", since: Time = "14d", until: Time = ""
) -> api.MirrorDays:
    """Say how the sources did day by day (UTC), and, of a single one, whom it served."""
    now = centre.db.now()
    begin = _time(since).at(now, UTC)
    end = min(_time(until).at(now, UTC), now + timedelta(days=1)) if until else now
    found = mirror_report.mirror_report(centre.db, begin, end, mirror)
    return api.MirrorDays(
        days=_parts(api.MirrorDay, found.days),
        served=_parts(api.ServedHost, found.served),
        looked_at=found.looked_at,
    )


@router.get("/durations")
def show_durations(
    centre: ThisCentre, _: Reader, q: Annotated[str, Query(max_length=2000)] = ""
) -> api.DurationsAnswer:
    """Say how long each phase took, over the newest updates that fit a query."""
    found = durations.durations(centre.db, parse(q))
    return api.DurationsAnswer(phases=_parts(api.Phase, found.phases), looked_at=found.looked_at)


@router.get("/compared")
def show_compared(centre: ThisCentre, _: Reader) -> api.ComparedAnswer:
    """Compare the newest pulls that a mirror served with those that the origin served."""
    found = durations.compared(centre.db)
    rows = _parts(api.Compared, found.rows)
    return api.ComparedAnswer(rows=rows, looked_at=found.looked_at, failed=found.failed)


def _parts(kind: Any, rows: Any) -> tuple[Any, ...]:
    return tuple(kind.model_validate(row) for row in rows)


def _known(centre: Centre, host: str) -> None:
    """Raise NotFound where *host* is no pattern and nobody's name: a host of which nothing is told was mistyped, or is new."""
    if not is_glob(host):
        hosts.host(centre.db, host)


def _time(text: str) -> When:
    try:
        return read_when(text)
    except BadInput as error:
        raise BadInput(f"cannot use {text[:100]!r} as a time: {error}") from None
