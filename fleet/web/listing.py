"""Lists of the whole fleet: a page at a time where somebody asks for pages, and else all of them, written as they are read.

Who asks for no page gets everything, as in earlier releases; it never lies in memory at once.
"""

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Annotated, Any, TypeVar

from fastapi import Query
from pydantic import AfterValidator
from starlette.responses import StreamingResponse

from fleet.api.form import Answer
from fleet.api.history import LARGEST_PAGE
from fleet.errors import BadInput

AT_ONCE = 2000
"""How many rows of a whole list lie in memory at once: some megabytes, and few questions for each."""

A = TypeVar("A", bound=Answer)


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("it holds a NUL")
    return text


Limit = Annotated[int | None, Query(ge=1, le=LARGEST_PAGE)]
"""How many a page holds; none: all of them come, and no pages."""
Page = Annotated[str, Query(max_length=4000), AfterValidator(_without_nul)]
"""``next_page`` of the page before."""


def answer(
    name: str,
    read: Callable[[str, int], A],
    limit: int | None,
    page: str,
    together: Callable[[A, A], dict[str, Any]] = lambda _one, _other: {},
) -> A | StreamingResponse:
    """Return the page that is wanted, as *read* returns it by where it begins and how many it may hold; or all, in one.

    *name* is the field of the list; *together* makes of two pages those other fields that are not the last one's. Raise
    BadInput where a page is asked for and not how long.
    """
    if limit is not None:
        return read(page, limit)
    if page:
        raise BadInput("cannot return a page without limit; say how many it may hold, such as limit=100")
    # What cannot be read is told before the answer has begun.
    first = read("", AT_ONCE)
    return StreamingResponse(_whole(name, first, read, together), media_type="application/json")


def _whole(
    name: str, first: A, read: Callable[[str, int], A], together: Callable[[A, A], dict[str, Any]]
) -> Iterator[bytes]:
    yield b'{"schema":"v1",' + f'"{name}":['.encode()
    rest, begun = first, False
    for found in chain((first,), _after(first, read)):
        if found is not first:
            rest = found.model_copy(update=together(rest, found))
        if rows := getattr(found, name):
            yield (b"," if begun else b"") + b",".join(row.model_dump_json().encode() for row in rows)
            begun = True
    ending = rest.model_copy(update={name: ()}).model_dump_json(exclude={name, "schema_version"})
    yield b"]" + (b"," + ending[1:].encode() if ending != "{}" else b"}")


def _after(first: A, read: Callable[[str, int], A]) -> Iterator[A]:
    next_page: str | None = getattr(first, "next_page")  # noqa: B009
    while next_page:
        found = read(next_page, AT_ONCE)
        yield found
        next_page = getattr(found, "next_page")  # noqa: B009
