"""One source tried in one pull, and how it did."""

from dataclasses import dataclass
from enum import StrEnum

from fleet.mirrors.source import Role


class AttemptResult(StrEnum):
    """What one source did with what it was asked for."""

    SERVED = "served"
    """It gave at least one verified byte that was used, and nothing wrong."""
    UNUSED = "unused"
    """It was in the route, and an earlier source had served all."""
    UNREACHABLE = "unreachable"
    """No connection: refused, no route, name not found, TLS failed."""
    TIMEOUT = "timeout"
    """Connected, and no first byte in time."""
    STALLED = "stalled"
    """The body stopped coming."""
    SLOW = "slow"
    """The body came below the floor while another source was left."""
    CUT = "cut"
    """The body ended early."""
    WRONG_BYTES = "wrong_bytes"
    """The bytes did not have the digest."""
    NOT_FOUND = "not_found"
    """404."""
    UNAUTHORIZED = "unauthorized"
    """401 or 403."""
    RATE_LIMITED = "rate_limited"
    """429."""
    SERVER_ERROR = "server_error"
    """5xx."""
    PROTOCOL = "protocol"
    """Any other answer that is not one."""
    BREAKER_OPEN = "breaker_open"
    """Not asked: it failed a moment ago."""


MOST_HOSTS = 8
"""A registry keeps its bytes in one or two stores; one that names ever more others is told of no further."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One source tried in one pull, summed over the manifests and blobs that it was asked for."""

    source: str
    """The source's endpoint, without credentials."""
    role: Role
    result: AttemptResult
    reason: str = ""
    """For people: the first failure's text; empty where there was none."""
    status: int = 0
    """The last HTTP status that mattered, 0 where none came."""
    bytes: int = 0
    """Verified bytes of this source that were passed to the engine."""
    requests: int = 0
    failures: int = 0
    """Requests of this source that failed."""
    first_byte_ms: int | None = None
    """Median of its first-byte times."""
    duration_ms: int = 0
    """Time spent receiving its bytes."""
    resumed_at: tuple[int, ...] = ()
    """Offsets at which this source took over a blob that another had begun."""
    verified: bool = False
    """Whether every byte counted in ``bytes`` had its digest proved."""
    redirected_to: tuple[str, ...] = ()
    """The hosts to which it sent for what it was asked for, in the order in which it named them, MOST_HOSTS at most."""
