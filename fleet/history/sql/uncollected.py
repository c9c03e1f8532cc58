"""Work on large results, during which no cycles are looked for."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

_LOCK = Lock()
_working: list[bool] = []
"""For each who is at it whether the collector was on when he began."""


@contextmanager
def uncollected() -> Iterator[None]:
    """Let the collector of cycles rest meanwhile; for work of seconds.

    Each of its looks goes through all of a result that is just being made, and finds nothing: a third of the time.
    """
    with _LOCK:
        _working.append(gc.isenabled() or any(_working))
        gc.disable()
    try:
        yield
    finally:
        with _LOCK:
            on = _working.pop()
            if on and not _working:
                gc.enable()
