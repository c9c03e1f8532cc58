"""What the scriptable registry writes down about one request."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(slots=True, kw_only=True)
class Entry:
    """One request, as the access log has it.

    It is in the log before the client can know anything of the answer, and *status* and *sent* grow with the answer,
    so that a test that has an answer finds all of it there.
    """

    at: float
    """Seconds since 1970."""
    client: str
    method: str
    path: str
    query: Mapping[str, str]
    kind: str
    repository: str
    tail: str
    headers: Mapping[str, str]
    faults: tuple[str, ...]
    status: int = 0
    """0 while no header was sent."""
    sent: int = 0
    """Bytes of the body that left."""
