"""Pages of outcomes: each reads a bounded number of rows, wherever it lies and whatever is asked.

Where an index answers alone, a page reads its own rows. Where rows must be looked at, at most ``WINDOW`` of them are, or
``SCATTERED`` where they do not lie side by side. A page may then hold fewer rows than were wanted, and still name a next
one: it says how far it looked.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, RowMapping, select, union_all

from fleet.errors import BadInput
from fleet.history.fact_tables import updates
from fleet.history.language import Query, Term, Word
from fleet.history.pages import PageRequest, checked_limit
from fleet.history.query_bounds import Bounds, bounds
from fleet.history.query_terms import Condition, condition
from fleet.history.query_ways import Branch, way

WINDOW = 5000
"""How many rows are looked at for one page where all are, one after the other as they lie in the table."""
SCATTERED = 200
"""How many rows of all branches are: each may lie on a page of its own, so that a cold disk, which takes about 0.2 ms for
one, is asked for each; a page shall take 50 ms. Whoever wants a larger page waits for as many as it may hold."""


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
    if not search.rest:
        kept = _newest(connection, search, cursor.after, limit + 1)
        return _cut(kept, limit, cursor, "")
    looked = [_look(connection, search, branch, cursor.after, limit) for branch in search.branches]
    frontier = max((far for _, far in looked if far is not None), default=None)
    by_id = {row["id"]: row for rows, _ in looked for row in rows if frontier is None or row["id"] >= frontier}
    kept = [by_id[id] for id in sorted(by_id, reverse=True)]
    return _cut(kept, limit, cursor, cursor.at(frontier) if frontier is not None else "")


def _cut(rows: list[RowMapping], limit: int, cursor: Cursor, following: str) -> Found:
    """Return at most *limit* of *rows*; the next page begins after the last of them, else at *following*."""
    if len(rows) > limit:
        return Found(rows=rows[:limit], next=cursor.at(rows[limit - 1]["id"]))
    return Found(rows=rows, next=following)


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """How the rows of a query are read."""

    branches: list[Branch]
    bounds: Bounds
    rest: tuple[Term, ...]
    """The terms for which rows must be looked at; none: the branches alone hold what is asked, and nothing else."""
    now: datetime
    zone: tzinfo

    @classmethod
    def of(cls, connection: Connection, query: Query, now: datetime, zone: tzinfo) -> "Search | None":
        """Prepare; None: no row can fit."""
        since = [t.when.at(now, zone) for t in query.terms if t.word is Word.SINCE and t.when is not None]
        until = [t.when.at(now, zone) for t in query.terms if t.word is Word.UNTIL and t.when is not None]
        between = bounds(connection, max(since, default=None), min(until, default=None))
        found = way(connection, query)
        if between.empty or not found.branches:
            return None
        rest = tuple(term for term in query.terms if not any(term is told for told in found.told))
        return cls(branches=found.branches, bounds=between, rest=rest, now=now, zone=zone)

    def window(self, limit: int) -> int:
        """Return how many rows of one branch are looked at for a page of *limit*."""
        return WINDOW if self.branches == [()] else max(1, max(SCATTERED, limit) // len(self.branches))

    def fits(self, columns: Any) -> list[Condition]:
        """Return what is looked at row by row."""
        return [condition(columns, term, self.now, self.zone) for term in self.rest]

    def below(self, branch: Branch, after: UUID | None, *selected: Any) -> Any:
        """Select the rows of a branch below *after*, newest first."""
        id = updates.c.id
        limits = [
            *([id < after] if after is not None else []),
            *([id >= self.bounds.low] if self.bounds.low is not None else []),
            *([id <= self.bounds.high] if self.bounds.high is not None else []),
        ]
        return select(*(selected or (updates,))).where(*branch, *limits).order_by(id.desc())


def _newest(connection: Connection, search: Search, after: UUID | None, count: int) -> list[RowMapping]:
    """Return the newest rows of all branches, each once."""
    if len(search.branches) == 1:
        return list(connection.execute(search.below(search.branches[0], after).limit(count)).mappings())
    # Their ids first: indexes hold them, and most of what the branches have together is not wanted.
    parts = [search.below(branch, after, updates.c.id).limit(count).subquery() for branch in search.branches]
    merged = union_all(*(select(part.c.id) for part in parts)).subquery("merged")
    ids = connection.execute(select(merged.c.id).distinct().order_by(merged.c.id.desc()).limit(count)).scalars().all()
    query = select(updates).where(updates.c.id.in_(ids)).order_by(updates.c.id.desc())
    return list(connection.execute(query).mappings()) if ids else []


def _look(
    connection: Connection, search: Search, branch: Branch, after: UUID | None, limit: int
) -> tuple[list[RowMapping], UUID | None]:
    """Return the newest rows of one branch that fit, one more than *limit*, and how far was looked where not to the end."""
    rows: list[RowMapping] = []
    far = after
    for count in _steps(search.window(limit), limit):
        seen = search.below(branch, far).limit(count).subquery("seen")
        query = select(seen).where(*search.fits(seen.c)).order_by(seen.c.id.desc()).limit(limit + 1 - len(rows))
        rows += connection.execute(query).mappings()
        if len(rows) > limit:
            return rows, None
        # The offset is that of the last row that was looked at, never of a page.
        far = connection.execute(search.below(branch, far, updates.c.id).offset(count - 1).limit(1)).scalar()
        if far is None:
            return rows, None
    return rows, far


def _steps(window: int, limit: int) -> Iterator[int]:
    """Yield how many rows are looked at, and how many then: most pages are full soon, and SQLite sorts all that it looks at."""
    first = min(window, max(limit + 1, SCATTERED))
    yield first
    if first < window:
        yield window - first
