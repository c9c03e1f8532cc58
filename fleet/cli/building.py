"""Requests made of what a person typed: what cannot be used is said in one line."""

from typing import TYPE_CHECKING, Any, TypeVar

from fleet.errors import BadInput

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
        given = repr(first["input"])[:100]
        raise BadInput(f"cannot use {given} as {name}: {first['msg'].removeprefix('Value error, ')}") from None
