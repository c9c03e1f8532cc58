"""How many of some hosts: a number, whole percent, or the rest."""

import re
from typing import Annotated, Literal

from pydantic import Field

from fleet.errors import BadInput

Size = (
    Annotated[int, Field(ge=0, le=2**31 - 1)] | Annotated[str, Field(pattern=r"^(100|[0-9]{1,2})%$")] | Literal["rest"]
)
"""``3``, ``10%`` or ``rest``."""

_PERCENT = re.compile(r"(100|[0-9]{1,2})%")


def rounded_up(size: Size, of: int, left: int) -> int:
    """Return how many hosts *size* is, of a plan of *of* hosts of which *left* are still without a wave."""
    if size == "rest":
        return left
    return min(left, size if isinstance(size, int) else -(-_percent(size) * of // 100))


def rounded_down(size: Size, of: int) -> int:
    """Return how many of *of* hosts a limit of *size* lets be bad or away at once."""
    if size == "rest":
        return of
    return size if isinstance(size, int) else _percent(size) * of // 100


def _percent(size: str) -> int:
    found = _PERCENT.fullmatch(size)
    if found is None:
        raise BadInput(f"cannot use {size!r} as a size; give a number, whole percent such as 10%, or rest")
    return int(found.group(1))
