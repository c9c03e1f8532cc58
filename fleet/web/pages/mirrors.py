"""The mirrors in a browser: what each gave day by day, what hosts found there, and the rules; hosts alike in one row each."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TypeVar

from fastapi import APIRouter, Request, Response

from fleet.api.mirrors import MirrorEntry
from fleet.api.probes import ProbeEntry
from fleet.api.questions import MirrorDay
from fleet.mirrors.probe import ProbeState
from fleet.web import mirrors, probes, questions
from fleet.web.centre import ThisCentre
from fleet.web.pages.shell import PageRoute, render
from fleet.web.pages.visitors import Visitor

router = APIRouter(route_class=PageRoute, include_in_schema=False)

DAYS = 14
"""Over how many days the mirrors are shown."""
T = TypeVar("T")


@router.get("/mirrors")
def list_mirrors(request: Request, centre: ThisCentre, visitor: Visitor) -> Response:
    """Show the mirrors: the rules, what hosts found there, and what each served day by day."""
    days = questions.show_mirror_days(centre, visitor).days
    return render(
        request,
        "mirrors.html",
        visitor=visitor,
        rules=together(mirrors.list_mirrors(centre, visitor).mirrors, _rule),
        findings=findings(probes.list_probes(centre, visitor).probes),
        sources=by_source(days, centre.db.now().date()),
        days=DAYS,
    )


def together(rows: Iterable[T], alike: Callable[[T], Hashable]) -> list[list[T]]:
    """Return *rows* in groups of those that are *alike*, each where its first one stands (pure)."""
    groups: dict[Hashable, list[T]] = {}
    for row in rows:
        groups.setdefault(alike(row), []).append(row)
    return list(groups.values())


def _rule(rule: MirrorEntry) -> Hashable:
    return rule.model_copy(update={"host": ""}), bool(rule.host)


def findings(rows: Iterable[ProbeEntry]) -> list[list[ProbeEntry]]:
    """Return what hosts found, with those together that found the same; what is not well first, then mirror by mirror (pure)."""
    groups = together(rows, lambda row: (row.mirror, row.registry, row.state, row.reason))
    return sorted(groups, key=lambda group: (group[0].state is ProbeState.OK, group[0].mirror, group[0].registry))


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
