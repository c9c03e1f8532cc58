"""Brings the database to this program's shape, and ends: a process of its own, so that what stays loads no SQL."""

from fleet.history.upkeep.upgrade import upgrade
from fleet.settings.centre import CentreSettings


def run(settings: CentreSettings) -> None:
    """Upgrade the database; safe to run twice, and at once."""
    upgrade(settings.database_url)
