"""Requests made of what a person typed: what cannot be used is said in one line."""

from typing import TYPE_CHECKING, Any, TypeVar

from fleet.errors import BadInput

LONGEST_TOLD = 100
"""How many characters of what cannot be used are told."""

if TYPE_CHECKING:
    from pydantic import BaseModel

M = TypeVar("M", bound="BaseModel")


def build(kind: type[M], /, **fields: Any) -> M:
    """Return a request of *fields*; raise BadInput that names the field and what is wrong."""
    from pydantic import ValidationError

    try:
        return kind(**fields)
    except ValidationError as broken:
        first = broken.errors(include_url=False, include_context=False)[0]
        name = ".".join(str(part) for part in first["loc"]) or kind.__name__.lower()
        given = _told(first["input"])
        raise BadInput(f"cannot use {given} as {name}: {first['msg'].removeprefix('Value error, ')}") from None


def _told(given: Any) -> str:
    """Return what was given as it was typed: several of an option are a tuple here alone."""
    texts = given if isinstance(given, tuple) else (given,)
    return ", ".join(repr(text) for text in texts)[:LONGEST_TOLD]
