"""The numbers by which people call rollouts: one after the other, without a gap."""

from sqlalchemy import Connection, func, select, text

from fleet.history.tables.rollouts import rollouts

_NUMBERS = 0x666C65656E75
"""The key of the advisory lock under which rollouts get their numbers on PostgreSQL."""


def next_number(connection: Connection) -> int:
    """Return the number of the rollout that this transaction makes; another one waits until it has ended."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _NUMBERS})
    return (connection.execute(select(func.max(rollouts.c.number))).scalar() or 0) + 1
