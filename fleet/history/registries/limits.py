"""How often registries may be asked by the centre, as they last said."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select

from fleet.history.sql.database import Database
from fleet.history.sql.upsert import insert_or_update
from fleet.history.tables.mirrors import rate_limits as table

ASSUMED_WINDOW_S = 6 * 3600
"""The window of a registry that does not name one: Docker Hub's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitRow:
    """What one endpoint last said."""

    endpoint: str
    limit: int
    remaining: int
    window_s: int
    """0 where it did not say."""
    source: str
    """Whom it counts."""
    seen_at: datetime

    def holds(self, now: datetime) -> bool:
        """Tell whether the window in which it was said has not passed."""
        return now < self.seen_at + timedelta(seconds=self.window_s or ASSUMED_WINDOW_S)


def record_limit(db: Database, endpoint: str, limit: int, remaining: int, window_s: int, source: str) -> None:
    """Keep what *endpoint* says now in place of what it said before."""
    with db.writing() as connection:
        now = db.moment(connection)
        row = {
            "endpoint": endpoint,
            "limit": limit,
            "remaining": remaining,
            "window_s": window_s,
            "source": source,
            "seen_at": now,
        }
        insert_or_update(connection, table, [row], ("endpoint",))


def limits(db: Database) -> list[LimitRow]:
    """Return what every endpoint last said, by its name."""
    with db.reading() as connection:
        return [LimitRow(**row) for row in connection.execute(select(table).order_by(table.c.endpoint)).mappings()]
