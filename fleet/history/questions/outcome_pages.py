"""Pages of outcomes: each reads a bounded number of rows, wherever it lies and whatever is asked.

Where an index answers alone, a page reads its own rows. Where rows must be looked at, at most ``WINDOW`` of them are, or
``SCATTERED`` where they do not lie side by side. A page may then hold fewer rows than were wanted, and still name a next
one: it says how far it looked.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, RowMapping, select, union_all

from fleet.errors import BadInput
from fleet.history.questions.language import Query, Term, Word
from fleet.history.questions.query_bounds import closed_until, highest, lowest
from fleet.history.questions.query_terms import Condition, condition
from fleet.history.questions.query_ways import Branch, way
from fleet.history.sql.pages import PageRequest, checked_limit
from fleet.history.tables.facts import updates

WINDOW = 5000
"""How many rows are looked at for one page where all are, one after the other as they lie in the table."""
SCATTERED = 200
"""How many rows of all branches are: each may lie on a page of its own, so that a cold disk, which takes about 0.2 ms for
one, is asked for each; a page shall take 50 ms. Whoever wants a larger page waits for as many as it may hold."""

_EPOCH, _MS = datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """Where a page begins, and when its query was first asked: ``since:2h`` means the same on every page."""

    asked: datetime
    after: UUID | None = None

    @classmethod
    def read(cls, text: str, now: datetime) -> "Cursor":
        """Return the cursor that *text* is, or that of a first page; raise BadInput for what is none."""
        now = _EPOCH + (now - _EPOCH) // _MS * _MS  # as much of it as the next page is told
        if not text:
            return cls(asked=now)
        id, _, asked = text.partition("-")
        try:
            moment = _EPOCH + int(asked, 16) * _MS if asked else now
            if moment < _EPOCH:
                raise ValueError(asked)
            return cls(after=UUID(id), asked=min(moment, now))
        except (ValueError, OverflowError):
            raise BadInput(f"cannot use {text[:80]!r} as a cursor; take `next` of the page before") from None

    def at(self, id: UUID) -> str:
        """Return the text of the cursor that goes on after *id*."""
        return f"{id.hex}-{(self.asked - _EPOCH) // _MS:x}"


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
    # Where the rows end takes longer to find than a full page: it is asked for once, and where rows lie side by side only
    # when a page is not full soon.
    end = cache(lambda: lowest(connection, search.since) if search.since else None)
    looked = [_look(connection, search, branch, cursor.after, limit, end) for branch in search.branches]
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
    since: datetime | None
    highest: UUID | None
    """No row has a higher id; None: that is not known."""
    rest: tuple[Term, ...]
    """The terms for which rows must be looked at; none: the branches alone hold what is asked, and nothing else."""
    now: datetime
    zone: tzinfo

    @classmethod
    def of(cls, connection: Connection, query: Query, now: datetime, zone: tzinfo) -> "Search | None":
        """Prepare; None: no row can fit."""
        since = [t.when.at(now, zone) for t in query.terms if t.word is Word.SINCE and t.when is not None]
        until = [t.when.at(now, zone) for t in query.terms if t.word is Word.UNTIL and t.when is not None]
        begin, end = max(since, default=None), min(until, default=None)
        found = way(connection, query)
        if not found.branches or (begin is not None and end is not None and begin >= end):
            return None
        high = None
        if end is not None and (closed := closed_until(connection)) is not None and end <= closed:
            high = highest(connection, end)
            if high is None:
                return None
        rest = tuple(term for term in query.terms if not any(term is told for told in found.told))
        return cls(branches=found.branches, since=begin, highest=high, rest=rest, now=now, zone=zone)

    def window(self, limit: int) -> int:
        """Return how many rows of one branch are looked at for a page of *limit*."""
        return WINDOW if self.branches == [()] else max(1, max(SCATTERED, limit) // len(self.branches))

    def fits(self, columns: Any) -> list[Condition]:
        """Return what is looked at row by row."""
        return [condition(columns, term, self.now, self.zone) for term in self.rest]

    def below(self, branch: Branch, after: UUID | None, *selected: Any, low: UUID | None = None) -> Any:
        """Select the rows of a branch below *after* and not below *low*, newest first."""
        id = updates.c.id
        limits = [
            *([id < after] if after is not None else []),
            *([id >= low] if low is not None else []),
            *([id <= self.highest] if self.highest is not None else []),
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
    connection: Connection,
    search: Search,
    branch: Branch,
    after: UUID | None,
    limit: int,
    end: Callable[[], UUID | None],
) -> tuple[list[RowMapping], UUID | None]:
    """Return the newest rows of one branch that fit, one more than *limit*, and how far was looked where not to the end."""
    rows: list[RowMapping] = []
    far = after
    low = end() if branch else None
    if branch and search.since is not None and low is None:
        return [], None
    for count in _steps(search.window(limit), limit):
        seen = search.below(branch, far, low=low).limit(count).subquery("seen")
        query = select(seen).where(*search.fits(seen.c)).order_by(seen.c.id.desc()).limit(limit + 1 - len(rows))
        rows += connection.execute(query).mappings()
        if len(rows) > limit:
            return rows, None
        # The offset is that of the last row that was looked at, never of a page.
        far = connection.execute(search.below(branch, far, updates.c.id, low=low).offset(count - 1).limit(1)).scalar()
        if far is None:
            return rows, None
        # A row written since the rows were read shifts the place: what lies beyond it is looked at again from there.
        rows = [row for row in rows if row["id"] >= far]
        if search.since is not None and low is None:
            low = end()
            if low is None or far <= low:
                return rows, None
    return rows, far


def _steps(window: int, limit: int) -> Iterator[int]:
    """Yield how many rows are looked at, and how many then: most pages are full soon, and SQLite sorts all that it looks at."""
    first = min(window, max(limit + 1, SCATTERED))
    yield first
    if first < window:
        yield window - first
