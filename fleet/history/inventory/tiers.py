"""By which way a host's engine gets its images, as its last pull showed."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select

from fleet.history.sql.database import Database
from fleet.history.tables.facts import pulls
from fleet.history.tables.inventory import hosts
from fleet.updates.outcome import Tier

_LOOKED_AT = 1000
"""How many pulls of a host are looked at: behind so many that brought no byte, the last way tells nothing of now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LastTier:
    """How a host's last pull came that brought bytes."""

    tier: Tier
    at: datetime


def last_tier(db: Database, host_id: UUID) -> LastTier | None:
    """Return it, None where no pull of this host tells."""
    newest = select(pulls.c.tier, pulls.c.recorded_at).where(pulls.c.host_id == host_id)
    looked = newest.order_by(pulls.c.id.desc()).limit(_LOOKED_AT)
    with db.reading() as connection:
        rows = connection.execute(looked)
        return next((LastTier(tier=tier, at=at) for tier, at in rows if tier is not Tier.PRESENT), None)


def hosts_by_tier(db: Database, tier: Tier) -> list[str]:
    """Return the names of the hosts whose last pull that brought bytes came by *tier*."""
    mine = (pulls.c.host_id == hosts.c.id, pulls.c.tier != Tier.PRESENT)
    last = select(pulls.c.tier).where(*mine).order_by(pulls.c.id.desc()).limit(1).correlate(hosts).scalar_subquery()
    query = select(hosts.c.name).where(hosts.c.removed_at.is_(None), last == tier).order_by(hosts.c.name)
    with db.reading() as connection:
        return list(connection.execute(query).scalars())
