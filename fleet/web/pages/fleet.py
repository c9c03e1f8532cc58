"""What there is and what goes on, in a browser: the overview, what is outdated, rollouts, schedules."""

from dataclasses import astuple
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from starlette.responses import FileResponse

from fleet.api.history import HistoryQuery
from fleet.api.rollouts import RolloutHost
from fleet.controller import conditions
from fleet.controller.condition import Condition, Severity
from fleet.controller.outdated import outdated_page
from fleet.controller.standing import Freshness
from fleet.errors import BadInput
from fleet.history.inventory.following import STALE, Place
from fleet.history.inventory.host_pages import are_there, host_states
from fleet.history.measured.inventory import measure_inventory
from fleet.history.questions.held import open_rollouts
from fleet.rollouts.states import BAD
from fleet.web import containers, history, rollouts, schedules, stops
from fleet.web.centre import ThisCentre
from fleet.web.pages.shell import STYLE, TEXT, PageRoute, render
from fleet.web.pages.visitors import Visitor

router = APIRouter(route_class=PageRoute, include_in_schema=False)

MOST_ROWS = 500
"""How many containers, or hosts of a rollout, one page lists."""
_PLACE = 4
"""Of how many parts it is told where a page ended."""
MOST_NEEDS = 100
"""How many conditions the overview lists; how many hold it says."""
LATEST = 10
"""How many outcomes and rollouts the overview shows."""
_URGENCY = tuple(Severity)
_ASKS = "rollout-held"
"""The code of the condition that a rollout waits for a person."""
_YEAR = "public, max-age=31536000, immutable"


@router.get("/")
def overview(request: Request, centre: ThisCentre, visitor: Visitor) -> Response:
    """Show first what needs a person, then how the fleet stands."""
    states = host_states(centre.db)
    latest = rollouts.list_rollouts(centre, visitor, limit=LATEST).rollouts
    needs = sorted(conditions.active(centre.db), key=_order)
    return render(
        request,
        "overview.html",
        visitor=visitor,
        needs=needs[:MOST_NEEDS],
        needing=len(needs),
        hosts=states.total(),
        online=states["online"],
        others=sorted((state, count) for state, count in states.items() if state != "online"),
        standing=measure_inventory(centre.db).followed,
        going=open_rollouts(centre.db),
        asking=sum(need.code == _ASKS for need in needs),
        on_hosts=are_there(centre.db, {need.subject for need in needs[:MOST_NEEDS]}),
        stops=stops.list_stops(centre, visitor).stops,
        rollouts=latest,
        outcomes=history.list_history(centre, visitor, HistoryQuery(limit=LATEST)).outcomes,
    )


def _order(need: Condition) -> tuple[int, bool]:
    """Return where a need is shown: the urgent first, and of those as urgent what a person's word ends."""
    return _URGENCY.index(need.severity), need.code != _ASKS


@router.get("/outdated")
def list_outdated(
    request: Request,
    centre: ThisCentre,
    visitor: Visitor,
    after: Annotated[tuple[str, ...], Query(max_length=4)] = (),
) -> Response:
    """Show what is outdated, or of which that is not known, so many at a time; no registry is asked for it.

    *after* is where the page before ended: status, host, container and its id.
    """
    found, last = outdated_page(centre.db, _place(after), MOST_ROWS)
    counted = measure_inventory(centre.db)
    return render(
        request,
        "outdated.html",
        visitor=visitor,
        rows=[containers.freshness_of(each) for each in found],
        more=f"/outdated?{urlencode([('after', part) for part in astuple(last)])}" if last else "",
        outdated=counted.followed.get(Freshness.OUTDATED, 0),
        unknown=counted.followed.get(Freshness.UNKNOWN, 0),
        pinned=counted.pinned,
        current=counted.followed.get(Freshness.CURRENT, 0),
        checked_at=counted.checked_at,
    )


def _place(after: tuple[str, ...]) -> Place | None:
    """Return where a page begins; raise BadInput where no page ended there."""
    if not after:
        return None
    if len(after) != _PLACE or after[0] not in STALE or "\0" in "".join(after):
        raise BadInput("cannot show the page after that; begin at /outdated")
    status, host, container, id = after
    return Place(status=status, host=host, container=container, id=id)


@router.get("/rollouts")
def list_rollouts(
    request: Request,
    centre: ThisCentre,
    visitor: Visitor,
    page: Annotated[str, Query(max_length=1000, pattern=TEXT)] = "",
) -> Response:
    """Show rollouts, newest first."""
    found = rollouts.list_rollouts(centre, visitor, page=page)
    more = f"/rollouts?{urlencode({'page': found.next_page})}" if found.next_page else ""
    return render(request, "rollouts.html", visitor=visitor, rollouts=found.rollouts, more=more)


@router.get("/rollouts/{id}")
def show_rollout(request: Request, centre: ThisCentre, visitor: Visitor, id: str) -> Response:
    """Show one rollout: its waves, and every host with how far it is."""
    found = rollouts.show_rollout(centre, visitor, id)
    rows = sorted(found.hosts, key=_of_interest) if len(found.hosts) > MOST_ROWS else list(found.hosts)
    return render(
        request,
        "rollout.html",
        visitor=visitor,
        found=found,
        rollout=found.rollout,
        hosts=rows[:MOST_ROWS],
        more=max(0, len(rows) - MOST_ROWS),
    )


def _of_interest(host: RolloutHost) -> int:
    """Return its place where not all have one: who failed, then who is under way; else as the rollout has them."""
    return 0 if host.state in BAD else 1 if host.state.live else 2


@router.get("/schedules")
def list_schedules(request: Request, centre: ThisCentre, visitor: Visitor) -> Response:
    """Show what is done by the clock, and when next."""
    return render(
        request,
        "schedules.html",
        visitor=visitor,
        schedules=schedules.all_in_words(centre),
        stops=stops.list_stops(centre, visitor).stops,
    )


@router.get("/static/fleet.css")
def style() -> Response:
    """Send the style sheet, which needs no login."""
    return FileResponse(STYLE, media_type="text/css", headers={"Cache-Control": _YEAR})
