"""Pages of rows: each begins after the key of the last row before it, so that rows which come meanwhile shift nothing."""

from dataclasses import dataclass
from typing import Generic, TypeVar

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
