"""Pages of outcomes: each reads a bounded number of rows, wherever it lies and whatever is asked.

Where an index cannot answer alone, at most ``WINDOW`` rows of each branch are looked at. A page may then hold fewer rows
than were wanted, and still name a next one: it says how far it looked.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, RowMapping, select

from fleet.errors import BadInput
from fleet.history.fact_tables import updates
from fleet.history.language import Query, Word
from fleet.history.pages import PageRequest, checked_limit
from fleet.history.query_bounds import Bounds, bounds
from fleet.history.query_terms import Condition, condition
from fleet.history.query_ways import Branch, ways

WINDOW = 5000
"""How many rows of one branch are looked at for one page, where each must be looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """Where a page begins, and when its query was first asked: ``since:2h`` means the same on every page."""

    asked: datetime
    after: UUID | None = None

    @classmethod
    def read(cls, text: str, now: datetime) -> "Cursor":
        """Return the cursor that *text* is, or that of a first page; raise BadInput for what is none."""
        if not text:
            return cls(asked=now)
        id, _, asked = text.partition("-")
        try:
            moment = datetime.fromtimestamp(int(asked, 16) / 1000, tz=UTC) if asked else now
            return cls(after=UUID(id), asked=moment)
        except (ValueError, OverflowError, OSError):
            raise BadInput(f"cannot use {text[:80]!r} as a cursor; take `next` of the page before") from None

    def at(self, id: UUID) -> str:
        """Return the text of the cursor that goes on after *id*."""
        return f"{id.hex}-{int(self.asked.timestamp() * 1000):x}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The rows of one page, and the cursor of the next; empty: this is the last one."""

    rows: list[RowMapping]
    next: str = ""


def page_of(connection: Connection, query: Query, page: PageRequest, now: datetime, zone: tzinfo) -> Found:
    """Return one page of the updates that *query* asks for, newest first."""
    limit = checked_limit(page)
    cursor = Cursor.read(page.cursor, now)
    search = Search.of(connection, query, cursor.asked, zone)
    if search is None:
        return Found(rows=[])
    looked = [_look(connection, search, branch, cursor.after, limit) for branch in search.branches]
    frontier = max((far for _, far in looked if far is not None), default=None)
    by_id = {row["id"]: row for rows, _ in looked for row in rows if frontier is None or row["id"] >= frontier}
    kept = [by_id[id] for id in sorted(by_id, reverse=True)]
    if len(kept) > limit:
        return Found(rows=kept[:limit], next=cursor.at(kept[limit - 1]["id"]))
    return Found(rows=kept, next=cursor.at(frontier) if frontier is not None else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """How the rows of a query are read."""

    branches: list[Branch]
    bounds: Bounds
    query: Query
    now: datetime
    zone: tzinfo
    exact: bool
    """Whether the branches alone hold what is asked, and nothing else."""

    @classmethod
    def of(cls, connection: Connection, query: Query, now: datetime, zone: tzinfo) -> "Search | None":
        """Prepare; None: no row can fit."""
        since = [t.when.at(now, zone) for t in query.terms if t.word is Word.SINCE and t.when is not None]
        until = [t.when.at(now, zone) for t in query.terms if t.word is Word.UNTIL and t.when is not None]
        between = bounds(connection, max(since, default=None), min(until, default=None))
        branches = ways(connection, query)
        if between.empty or not branches:
            return None
        return cls(branches=branches, bounds=between, query=query, now=now, zone=zone, exact=not query.terms)

    def rest(self, columns: Any) -> list[Condition]:
        """Return what is looked at row by row."""
        return [condition(columns, term, self.now, self.zone) for term in self.query.terms]

    def window(self, branch: Branch, after: UUID | None, *selected: Any) -> Any:
        """Select the rows of a branch below *after*, newest first."""
        id = updates.c.id
        limits = [
            *([id < after] if after is not None else []),
            *([id >= self.bounds.low] if self.bounds.low is not None else []),
            *([id <= self.bounds.high] if self.bounds.high is not None else []),
        ]
        return select(*(selected or (updates,))).where(*branch, *limits).order_by(id.desc())


def _look(
    connection: Connection, search: Search, branch: Branch, after: UUID | None, limit: int
) -> tuple[list[RowMapping], UUID | None]:
    """Return the newest rows of one branch that fit, one more than *limit*, and how far was looked where not to the end."""
    if search.exact:
        return list(connection.execute(search.window(branch, after).limit(limit + 1)).mappings()), None
    seen = search.window(branch, after).limit(WINDOW).subquery("seen")
    query = select(seen).where(*search.rest(seen.c)).order_by(seen.c.id.desc()).limit(limit + 1)
    rows = list(connection.execute(query).mappings())
    return rows, None if len(rows) > limit else _frontier(connection, search, branch, after)


def _frontier(connection: Connection, search: Search, branch: Branch, after: UUID | None) -> UUID | None:
    """Return the last id that was looked at; None where the branch ends there."""
    seen = search.window(branch, after, updates.c.id).limit(WINDOW).subquery("seen")
    last: UUID | None = connection.execute(select(seen.c.id).order_by(seen.c.id).limit(1)).scalar()
    if last is None:
        return None
    beyond = connection.execute(search.window(branch, last, updates.c.id).limit(1)).scalar()
    return last if beyond is not None else None
