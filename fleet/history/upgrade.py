"""The database's shape: brought to this program's by migrations, and checked before use."""

from fleet.history.database import Database


def upgrade(db_url: str) -> None:
    """Bring the database at *db_url* to the shape of this program; safe to run twice, and at once."""
    raise NotImplementedError


def require_head(db: Database) -> None:
    """Raise Refused, which names the remedy, where the database has not the shape of this program."""
    raise NotImplementedError


def partitions(db: Database) -> list[str]:
    """Make the partitions of this month and the next ones on PostgreSQL; return the names of those that were new."""
    raise NotImplementedError
