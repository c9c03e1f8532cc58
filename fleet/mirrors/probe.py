"""What a look at a mirror finds: whether it answers, how far its certificate lasts, and whether it is fresh."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class ProbeState(StrEnum):
    """How a mirror stood when a host looked at it."""

    OK = "ok"
    """It answered, and what it said of the tag, where one was asked for, is what the origin says."""
    DOWN = "down"
    """No answer came, or none of a registry."""
    TLS = "tls"
    """Its certificate cannot be trusted."""
    UNAUTHORIZED = "unauthorized"
    """It wants other credentials."""
    MISSING = "missing"
    """It answers as a registry, and does not have the image that was asked for."""
    STALE = "stale"
    """It has another digest for the tag than the origin."""
    LIMITED = "limited"
    """It asked to be left alone for now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorProbe:
    """One look at one mirror."""

    mirror: str
    """Its endpoint, without credentials."""
    registry: str
    """The registry that it stands in for, or ``*``."""
    state: ProbeState
    reason: str = ""
    """For people; empty where all is well."""
    reference: str = ""
    """The image that it was asked for; empty: only whether it is a registry."""
    digest: str = ""
    """What it said that the image has."""
    origin_digest: str = ""
    """What the origin had said before; empty: not known."""
    duration_ms: int = 0
    """Until its answer, tokens and redirects included."""
    tls_not_after: datetime | None = None
    """When its certificate expires; None: it has none, or it was not seen."""
    bytes_per_s: int | None = None
    """How fast a layer of the image came; None: not measured this time."""
