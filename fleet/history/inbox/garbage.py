"""What hosts wrote that cannot be trusted or understood: kept for a while, so that a person can look at it."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select

from fleet.history.sql.database import Database
from fleet.history.sql.lookup import find
from fleet.history.sql.pages import FIRST, Page, PageRequest, page_of
from fleet.history.tables.inventory import hosts
from fleet.history.tables.road import refused


@dataclass(frozen=True, slots=True, kw_only=True)
class GarbageRow:
    """One message that was refused."""

    id: UUID
    host_id: UUID | None
    """Who sent it, where its signature proved that."""
    host: str
    """That host's name now; empty: not proved."""
    reason: str
    raw: bytes
    """Its first bytes."""
    size_bytes: int
    received_at: datetime


def garbage(db: Database, page: PageRequest = FIRST) -> Page[GarbageRow]:
    """Return what was refused, newest first."""
    query = select(refused, hosts.c.name.label("host")).outerjoin(hosts, hosts.c.id == refused.c.host_id)
    with db.reading() as connection:
        return page_of(
            connection, query, refused.c.id, page, lambda row: GarbageRow(**{**row, "host": row["host"] or ""})
        )


def one_garbage(db: Database, id: str) -> GarbageRow:
    """Return one refused message by its id or the last 8 digits of it; raises NotFound."""
    with db.reading() as connection:
        row = find(connection, refused, id, what="refused message")
        name = connection.execute(select(hosts.c.name).where(hosts.c.id == row["host_id"])).scalar()
        return GarbageRow(**row, host=name or "")
