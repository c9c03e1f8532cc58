"""What one container ran before its latest update."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select

from fleet.history.sql.database import Database
from fleet.history.tables.facts import updates
from fleet.updates.outcome import Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Previous:
    """The update that brought what runs now."""

    update_id: UUID
    image: str
    """Canonical registry/repository:tag, as it was followed then."""
    old_digest: str
    """What ran before; empty: not known."""
    new_digest: str
    recorded_at: datetime


def previous(db: Database, host_id: UUID, container: str, running: Collection[str]) -> Previous | None:
    """Return the newest successful update of *container* that brought one of the digests in *running*; None: there is none.

    An update that changed no digest is passed over.
    """
    c = updates.c
    query = (
        select(c.id.label("update_id"), c.image, c.old_digest, c.new_digest, c.recorded_at)
        .where(c.host_id == host_id, c.container == container, c.result == Result.UPDATED)
        .where(c.new_digest.in_(list(running)), c.old_digest != c.new_digest)
        .order_by(c.id.desc())
        .limit(1)
    )
    with db.reading() as connection:
        row = connection.execute(query).mappings().one_or_none()
        return None if row is None else Previous(**row)
