"""Hosts in a browser: all of them so many at a time, and one in full."""

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response

from fleet.api.containers import Container, Freshness
from fleet.api.history import HistoryQuery
from fleet.api.hosts import Host
from fleet.errors import FleetError, NotFound
from fleet.history.inventory.hosts import removed_host
from fleet.rollouts.selector import Selector
from fleet.web import containers, history, hosts
from fleet.web.centre import ThisCentre
from fleet.web.pages.shell import TEXT, PageRoute, render
from fleet.web.pages.visitors import Visitor
from fleet.web.selecting import labels_of

router = APIRouter(route_class=PageRoute, include_in_schema=False)

MOST_ROWS = 500
"""How many hosts one page lists."""
LATEST = 10
"""How many outcomes the page of a host shows."""


@router.get("/hosts")
def list_hosts(
    request: Request,
    centre: ThisCentre,
    visitor: Visitor,
    q: Annotated[str, Query(max_length=500, pattern=TEXT)] = "",
    after: Annotated[str, Query(max_length=300, pattern=TEXT)] = "",
) -> Response:
    """Show the hosts, by name, so many at a time; those that *q* takes: patterns of names, and labels as ``site=paris``."""
    words = q.split()
    names = tuple(word for word in words if "=" not in word)
    labels = tuple(word for word in words if "=" in word)
    wrong, shown, count, more = "", list[Host](), 0, False
    try:
        asked = Selector(hosts=names, labels=labels_of(labels))
        shown, count, more = hosts.page_of_hosts(centre, asked, after=after, most=MOST_ROWS)
    except FleetError as error:
        wrong = str(error)
    following = f"/hosts?{urlencode({'q': q, 'after': shown[-1].name})}" if more else ""
    facts = {"hosts": shown, "count": count, "q": q, "wrong": wrong, "more": following}
    return render(request, "hosts.html", status=422 if wrong else 200, visitor=visitor, **facts)


@router.get("/hosts/{name}")
def show_host(request: Request, centre: ThisCentre, visitor: Visitor, name: str) -> Response:
    """Show one host: what it runs, its mirrors, what was done on it last; of a removed one, what was done on it."""
    try:
        found = hosts.show_host(centre, visitor, name)
    except NotFound:
        return _removed_host(request, centre, visitor, name)
    asked = HistoryQuery(host=found.host.name, limit=LATEST)
    return render(
        request,
        "host.html",
        visitor=visitor,
        host=found.host,
        mirrors=found.mirrors,
        tier=found.tier,
        turns=found.turns,
        containers=_containers_of(centre, found.host.name),
        standing=_standing_of(centre, found.host.name),
        outcomes=history.list_history(centre, visitor, asked).outcomes,
    )


def _removed_host(request: Request, centre: ThisCentre, visitor: Visitor, name: str) -> Response:
    """Show a host that is not there any more, since the history names it; raise NotFound where there never was one."""
    host = removed_host(centre.db, name)
    asked = HistoryQuery(host=str(host.id), limit=LATEST)
    outcomes = history.list_history(centre, visitor, asked).outcomes
    return render(request, "removed.html", visitor=visitor, host=host, outcomes=outcomes)


def _containers_of(centre: ThisCentre, host: str) -> tuple[Container, ...]:
    return containers.containers_of(centre, Selector(hosts=(host,)))


def _standing_of(centre: ThisCentre, host: str) -> dict[str, Freshness]:
    """Return how those containers of a host stand to their tags that are not current, by name."""
    return {row.container: row for row in containers.outdated_of(centre, Selector(hosts=(host,)))}
