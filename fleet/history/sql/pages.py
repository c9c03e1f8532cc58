"""Pages of rows: each begins after the key of the last row before it, so that rows which come meanwhile shift nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, RowMapping, Select

from fleet.errors import BadInput

T = TypeVar("T")

MOST = 1000
"""The most rows of one page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRequest:
    """Which page is wanted."""

    limit: int = 50
    cursor: str = ""
    """``next`` of the page before; empty: the first page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """Some rows, newest first."""

    items: tuple[T, ...]
    next: str = ""
    """The cursor of the page that follows; empty: this is the last one."""


FIRST = PageRequest()


def page_of(
    connection: Connection,
    query: Select[Any],
    key: ColumnElement[UUID],
    page: PageRequest,
    read: Callable[[RowMapping], T],
) -> Page[T]:
    """Return one page of *query*, by *key* downwards; raises BadInput for a limit or cursor that cannot be used."""
    checked_limit(page)
    if page.cursor:
        query = query.where(key < _id(page.cursor))
    # One more than wanted tells whether another page follows.
    rows = connection.execute(query.order_by(key.desc()).limit(page.limit + 1)).mappings().all()
    kept = rows[: page.limit]
    more = len(rows) > page.limit
    return Page(items=tuple(read(row) for row in kept), next=kept[-1][key.key or "id"].hex if more else "")


def checked_limit(page: PageRequest) -> int:
    """Return how many rows are wanted; raises BadInput where that is none, or too many."""
    if not 1 <= page.limit <= MOST:
        raise BadInput(f"cannot return {page.limit} rows at once; ask for 1 to {MOST}")
    return page.limit


def _id(cursor: str) -> UUID:
    try:
        return UUID(cursor)
    except ValueError:
        raise BadInput(f"cannot use {cursor[:80]!r} as a cursor; take `next` of the page before") from None
