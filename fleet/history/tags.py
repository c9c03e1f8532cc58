"""What the tags that containers follow resolve to: each image is checked once for all hosts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from fleet.history.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class TagRow:
    """One tag, at its latest check."""

    image: str
    digest: str
    """At the last check that succeeded; empty: none did yet."""
    endpoint: str
    reason: str
    """Why the last check failed; empty where it did not."""
    resolved_at: datetime | None
    checked_at: datetime | None
    leased_until: datetime | None


def followed(db: Database) -> list[str]:
    """Return the images (canonical registry/repository:tag) that running containers follow, sorted."""
    raise NotImplementedError


def lease(db: Database, images: Sequence[str], now: datetime, seconds: int) -> list[str]:
    """Return those of *images* that nobody else checks at *now*; others are kept away from them for *seconds*."""
    raise NotImplementedError


def record_resolved(db: Database, image: str, digest: str, endpoint: str) -> None:
    """Write down that *image* resolves to *digest*, as *endpoint* said, and end the lease."""
    raise NotImplementedError


def record_failed(db: Database, image: str, reason: str) -> None:
    """Write down why the check of *image* failed, keep the digest that was known, and end the lease."""
    raise NotImplementedError


def ask_host(db: Database, image: str) -> UUID:
    """Ask one live host that runs *image* to resolve it with its own credentials; return the request's id.

    A request that still waits is not made twice. Raises NotFound where no live host runs it.
    """
    raise NotImplementedError


def tag(db: Database, image: str) -> TagRow | None:
    """Return what is known of *image*; None where it was never checked."""
    raise NotImplementedError


def tags(db: Database) -> dict[str, TagRow]:
    """Return every tag that was ever checked, by its image."""
    raise NotImplementedError
