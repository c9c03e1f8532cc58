"""Names in a sentence: the first few of many hosts or containers, and how many more there are (pure)."""

from collections.abc import Sequence

FEW = 5
"""How many names a sentence holds before it only counts."""


def named(names: Sequence[str], most: int = FEW, *, count: int | None = None) -> str:
    """Return ``a, b and 3 more``, with at most so many names; empty where there are none.

    *count* tells how many there are, where *names* are only the first of them.
    """
    more = (len(names) if count is None else count) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
