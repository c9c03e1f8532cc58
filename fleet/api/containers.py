"""Containers: what runs where, and what is older than its tag."""

from datetime import datetime
from uuid import UUID

from fleet.api.form import Answer, Part


class Container(Part):
    """One container, as its host last told of it."""

    host: str
    host_id: UUID
    id: str
    """The engine's id, 64 digits."""
    name: str
    reference: str
    """As the user wrote it."""
    image: str
    """Canonical registry/repository:tag that it follows; empty where it follows none."""
    image_id: str
    digests: tuple[str, ...] = ()
    platform: str = ""
    state: str = ""
    health: str = ""
    local_build: bool = False
    keeps: tuple[str, ...] | None = None
    """The paths in it of volumes, and of files and folders of its host, that it may write to; null: not told."""
    seen_at: datetime


class Containers(Answer):
    """The containers that were asked for: all of them, or one page, which may hold fewer than were wanted, or none."""

    containers: tuple[Container, ...]
    next_page: str | None = None
    """What to ask for the page after; null: this is the last, or all."""


class Freshness(Part):
    """How a container stands to the tag that it follows. What is not known is said to be unknown, never fresh."""

    host: str
    container: str
    image: str
    status: str
    """``outdated``, ``current`` or ``unknown``."""
    old_digest: str = ""
    """What runs; empty: not known."""
    new_digest: str = ""
    """What the tag has now; empty: not known."""
    resolved_at: datetime | None = None
    """When the tag was last resolved."""
    reason: str = ""
    """Why it is unknown, or cannot be updated."""


class Outdated(Answer):
    """The containers that are outdated or of which that is unknown, and how many are current: all of them, or one page.

    What is counted adds up over all pages; of ``checked_at`` the earliest is that of all.
    """

    containers: tuple[Freshness, ...]
    current: int = 0
    pinned: int = 0
    """How many follow no tag: they are pinned to a digest, or were started by an image id."""
    checked_at: datetime | None = None
    """When the registries were last asked for the tag of theirs that was asked for longest ago; null: for none yet."""
    next_page: str | None = None
    """What to ask for the page after; null: this is the last, or all."""
