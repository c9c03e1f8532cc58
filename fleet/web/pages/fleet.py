"""What there is and what goes on, in a browser: the overview, hosts, rollouts, mirrors, schedules."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from starlette.responses import FileResponse

from fleet.api.containers import Container
from fleet.api.containers import Freshness as Outdated
from fleet.api.history import HistoryQuery
from fleet.api.questions import MirrorDay
from fleet.controller import conditions
from fleet.controller.condition import Severity
from fleet.controller.standing import Freshness
from fleet.errors import NotFound
from fleet.history.held import open_rollouts
from fleet.history.hosts import removed_host
from fleet.rollouts.selector import Selector
from fleet.web import containers, history, hosts, mirrors, probes, questions, rollouts, schedules
from fleet.web.centre import ThisCentre
from fleet.web.pages.shell import STYLE, PageRoute, render
from fleet.web.pages.visitors import Visitor

router = APIRouter(route_class=PageRoute, include_in_schema=False)

DAYS = 14
"""Over how many days the mirrors are shown."""
MOST_ROWS = 500
"""How many containers one page lists."""
LATEST = 10
"""How many outcomes and rollouts the overview shows."""
_URGENCY = tuple(Severity)
_YEAR = "public, max-age=31536000, immutable"


@router.get("/")
def overview(request: Request, centre: ThisCentre, visitor: Visitor) -> Response:
    """Show first what needs a person, then how the fleet stands."""
    known = hosts.list_hosts(centre, visitor).hosts
    latest = rollouts.list_rollouts(centre, visitor, limit=LATEST).rollouts
    return render(
        request,
        "overview.html",
        visitor=visitor,
        needs=sorted(conditions.active(centre.db), key=lambda need: _URGENCY.index(need.severity)),
        hosts=known,
        online=sum(host.state == "online" for host in known),
        others=sorted(Counter(host.state for host in known if host.state != "online").items()),
        going=open_rollouts(centre.db),
        rollouts=latest,
        outcomes=history.list_history(centre, visitor, HistoryQuery(limit=LATEST)).outcomes,
    )


@router.get("/hosts")
def list_hosts(request: Request, centre: ThisCentre, visitor: Visitor) -> Response:
    """Show every host."""
    return render(request, "hosts.html", visitor=visitor, hosts=hosts.list_hosts(centre, visitor).hosts)


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
        containers=_containers_of(centre, visitor, found.host.name),
        standing=_standing_of(centre, visitor, found.host.name),
        outcomes=history.list_history(centre, visitor, asked).outcomes,
    )


def _removed_host(request: Request, centre: ThisCentre, visitor: Visitor, name: str) -> Response:
    """Show a host that is not there any more, since the history names it; raise NotFound where there never was one."""
    host = removed_host(centre.db, name)
    asked = HistoryQuery(host=str(host.id), limit=LATEST)
    outcomes = history.list_history(centre, visitor, asked).outcomes
    return render(request, "removed.html", visitor=visitor, host=host, outcomes=outcomes)


@router.get("/outdated")
def list_outdated(request: Request, centre: ThisCentre, visitor: Visitor) -> Response:
    """Show what is outdated, or of which that is not known; no registry is asked for it."""
    found = containers.list_outdated(centre, visitor, Selector())
    rows = sorted(found.containers, key=lambda row: (row.status, row.host, row.container))
    counts = Counter(row.status for row in rows)
    return render(
        request,
        "outdated.html",
        visitor=visitor,
        found=found,
        rows=rows[:MOST_ROWS],
        more=max(0, len(rows) - MOST_ROWS),
        outdated=counts[Freshness.OUTDATED],
        unknown=counts[Freshness.UNKNOWN],
    )


@router.get("/rollouts")
def list_rollouts(
    request: Request, centre: ThisCentre, visitor: Visitor, page: Annotated[str, Query(max_length=1000)] = ""
) -> Response:
    """Show rollouts, newest first."""
    found = rollouts.list_rollouts(centre, visitor, page=page)
    more = f"/rollouts?{urlencode({'page': found.next_page})}" if found.next_page else ""
    return render(request, "rollouts.html", visitor=visitor, rollouts=found.rollouts, more=more)


@router.get("/rollouts/{id}")
def show_rollout(request: Request, centre: ThisCentre, visitor: Visitor, id: str) -> Response:
    """Show one rollout: its waves, and every host with how far it is."""
    found = rollouts.show_rollout(centre, visitor, id)
    return render(request, "rollout.html", visitor=visitor, found=found, rollout=found.rollout)


@router.get("/mirrors")
def list_mirrors(request: Request, centre: ThisCentre, visitor: Visitor) -> Response:
    """Show the mirrors: the rules, what hosts found there, and what each served day by day."""
    days = questions.show_mirror_days(centre, visitor).days
    return render(
        request,
        "mirrors.html",
        visitor=visitor,
        mirrors=mirrors.list_mirrors(centre, visitor).mirrors,
        probes=probes.list_probes(centre, visitor).probes,
        sources=by_source(days, centre.db.now().date()),
        days=DAYS,
    )


@router.get("/schedules")
def list_schedules(request: Request, centre: ThisCentre, visitor: Visitor) -> Response:
    """Show what is done by the clock, and when next."""
    return render(request, "schedules.html", visitor=visitor, schedules=schedules.all_in_words(centre))


@router.get("/static/fleet.css")
def style() -> Response:
    """Send the style sheet, which needs no login."""
    return FileResponse(STYLE, media_type="text/css", headers={"Cache-Control": _YEAR})


def _containers_of(centre: ThisCentre, visitor: Visitor, host: str) -> tuple[Container, ...]:
    return containers.list_containers(centre, visitor, Selector.parse({"hosts": [host]})).containers


def _standing_of(centre: ThisCentre, visitor: Visitor, host: str) -> dict[str, Outdated]:
    """Return how those containers of a host stand to their tags that are not current, by name."""
    chosen = Selector.parse({"hosts": [host]})
    return {row.container: row for row in containers.list_outdated(centre, visitor, chosen).containers}


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceDays:
    """What one source did, day by day."""

    mirror: str
    days: tuple[tuple[str, int, int], ...]
    """Of each day, the oldest first: its date, bytes, and pulls that it failed."""
    pulls: int
    served: int
    failures: int
    fallbacks: int
    bytes: int
    bytes_per_s: int | None
    """None: it gave nothing."""

    @property
    def most(self) -> int:
        """Bytes of its best day, at least 1."""
        return max(1, *(count for _, count, _ in self.days))


def by_source(rows: Iterable[MirrorDay], today: date) -> list[SourceDays]:
    """Return the days of each source, those that gave most first (pure)."""
    dates = [str(today - timedelta(days=back)) for back in reversed(range(DAYS))]
    found: dict[str, dict[str, MirrorDay]] = {}
    for row in rows:
        found.setdefault(row.mirror, {})[row.day] = row
    sources = [_source(mirror, known, dates) for mirror, known in found.items()]
    return sorted(sources, key=lambda source: (-source.bytes, source.mirror))


def _source(mirror: str, known: Mapping[str, MirrorDay], dates: Sequence[str]) -> SourceDays:
    rows = known.values()
    given, took_ms = sum(row.bytes for row in rows), sum(row.duration_ms for row in rows)
    return SourceDays(
        mirror=mirror,
        days=tuple((day, known[day].bytes, known[day].failures) if day in known else (day, 0, 0) for day in dates),
        pulls=sum(row.pulls for row in rows),
        served=sum(row.served for row in rows),
        failures=sum(row.failures for row in rows),
        fallbacks=sum(row.fallbacks for row in rows),
        bytes=given,
        bytes_per_s=given * 1000 // took_ms if given and took_ms else None,
    )
