"""What is done to a filled database between measurements, and a tick that finds nothing to do."""

from uuid import UUID

from sqlalchemy import delete, text, update

from fleet.history.rollouts import tick
from fleet.history.sql.database import Database
from fleet.history.tables.facts import commands
from fleet.history.tables.inventory import hosts
from fleet.history.tables.rollouts import plans, rollout_hosts, rollouts
from fleet.rollouts.states import HostState


def clear(db: Database) -> None:
    """Take the last run's rollout away, and what is left of its rows, so that each run begins alike."""
    with db.writing() as connection:
        connection.execute(delete(commands))
        connection.execute(delete(rollout_hosts))
        connection.execute(update(plans).values(rollout_id=None))
        connection.execute(update(rollouts).values(ended_at=db.moment(connection)))
    if db.dialect == "postgresql":
        # A server does so by itself within a minute; in the middle of what is measured it would be in nobody's figures.
        with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for table in (commands, rollout_hosts, hosts):
                connection.execute(text(f"VACUUM ANALYZE {table.name}"))


def skip_the_first_wave(db: Database, id: UUID) -> None:
    """Skip the first tenth, so that the wave that is judged holds nine tenths of the fleet."""
    with db.writing() as connection:
        mine = (rollout_hosts.c.rollout_id == id, rollout_hosts.c.wave == 0)
        connection.execute(update(rollout_hosts).where(*mine).values(state=HostState.SKIPPED))


def idle(db: Database) -> None:
    """Do all of a tick's SQL where nothing is to be done."""
    tick.expire(db)
    for id in tick.active_rollouts(db):
        if tick.advance_rollout(db, id).changed:
            raise RuntimeError("the rollout is not at rest")
    if tick.due_messages(db):
        raise RuntimeError("messages are due")
