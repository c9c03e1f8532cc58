"""What is not kept for ever: spent message ids, refused messages, old plans, and the details of old pulls."""

from datetime import datetime, timedelta

from sqlalchemy import Column, ColumnElement, Table, delete, exists, select, true

from fleet.history.questions.days import close_days
from fleet.history.sql.database import Database
from fleet.history.tables.counters import host_updates
from fleet.history.tables.facts import attempts, commands, mirror_probes, pulls, rollout_events, updates
from fleet.history.tables.inventory import hosts, resolves, snapshot_parts
from fleet.history.tables.mirrors import mirror_tests
from fleet.history.tables.notify import deliveries, events, links
from fleet.history.tables.partitions import drop_before, lowest_id
from fleet.history.tables.road import messages, progress, refused
from fleet.history.tables.rollouts import plans

MESSAGES_FOR = timedelta(days=8)
"""Longer than a message of a host says that it holds (7 days)."""
REFUSED_FOR = timedelta(days=30)
PLANS_FOR = timedelta(days=30)
"""How long a plan is kept after it was too old to be applied."""
REQUESTS_FOR = timedelta(days=7)
PROBES_FOR = timedelta(days=30)
ATTEMPTS_FOR = timedelta(days=400)
EVENTS_FOR = timedelta(days=30)
"""How long it is kept what people were told, and what came of it; the history keeps what it was about."""

FACTS = (updates, pulls, attempts, commands, rollout_events)
"""What is kept for ever unless a person says for how long; not the audit."""

CHUNK = 5000
"""How many rows go with one transaction: writers never wait long."""


def prune(db: Database) -> dict[str, int]:
    """Close the days that are over, and delete what is too old to be kept, a little at a time.

    Return how many rows of which table went.
    """
    # What days came to is summed before anything of them goes.
    close_days(db)
    now = db.now()
    under_way = exists().where(commands.c.id == progress.c.command_id, commands.c.ended_at.is_(None))
    gone = {
        "messages": _delete_until(db, messages, messages.c.received_at, now - MESSAGES_FOR),
        "refused": _delete_until(db, refused, refused.c.received_at, now - REFUSED_FOR),
        "plans": _delete_until(db, plans, plans.c.expires_at, now - PLANS_FOR),
        "resolves": _delete_until(db, resolves, resolves.c.asked_at, now - REQUESTS_FOR),
        "events": _delete_until(db, events, events.c.at, now - EVENTS_FOR),
        "deliveries": _delete_until(db, deliveries, deliveries.c.created_at, now - EVENTS_FOR),
        "links": _delete_until(db, links, links.c.created_at, now - EVENTS_FOR),
        "progress": _delete(db, progress, progress.c.command_id, ~under_way),
        "mirror_tests": _delete_until(db, mirror_tests, mirror_tests.c.asked_at, now - PROBES_FOR),
        "mirror_probes": _drop_or_delete(db, mirror_probes, mirror_probes.c.id, now - PROBES_FOR),
        "attempts": _drop_or_delete(db, attempts, attempts.c.pull_id, now - ATTEMPTS_FOR),
    }
    with db.writing() as connection:
        # Parts that were followed by none for a week belong to a snapshot that will never be whole.
        old = snapshot_parts.c.received_at < now - REQUESTS_FOR
        gone["snapshot_parts"] = connection.execute(delete(snapshot_parts).where(old)).rowcount
        removed = select(hosts.c.id).where(hosts.c.removed_at.is_not(None))
        gone["host_updates"] = connection.execute(
            delete(host_updates).where(host_updates.c.host_id.in_(removed))
        ).rowcount
    return {table: count for table, count in gone.items() if count}


def prune_facts(db: Database, keep: timedelta) -> dict[str, int]:
    """Give up the facts of what was asked longer than *keep* ago; return how many rows went.

    What each day came to stays, and so does the audit. Whole partitions are dropped on PostgreSQL, so that a part of a month
    stays until the month is over.
    """
    close_days(db)
    old = db.now() - keep
    gone: dict[str, int] = {}
    for table in FACTS:
        if db.dialect == "postgresql":
            gone[table.name] = sum(drop_before(db, table, old).values())
        else:
            key = next(iter(table.primary_key.columns))
            ended = commands.c.ended_at.is_not(None) if table is commands else true()
            gone[table.name] = _delete(db, table, key, _before(key, old) & ended)
    return {table: count for table, count in gone.items() if count}


def _drop_or_delete(db: Database, table: Table, key: Column[object], before: datetime) -> int:
    """Drop the partitions that are old as a whole, then delete what is left; return how many rows went."""
    return sum(drop_before(db, table, before).values()) + _delete(db, table, key, _before(key, before))


def _before(column: Column[object], at: datetime) -> ColumnElement[bool]:
    return column < lowest_id(at)


def _delete_until(db: Database, table: Table, at: Column[datetime], before: datetime) -> int:
    """Delete the rows whose time *at* is before that, the oldest first, about a chunk a transaction; return how many there were.

    By the time, which has an index, and not by the key: to sort all that is old for each chunk takes ever longer, the more it is.
    """
    total = 0
    while True:
        with db.writing() as connection:
            old = at < before
            last = connection.execute(select(at).where(old).order_by(at).offset(CHUNK - 1).limit(1)).scalar()
            gone = connection.execute(delete(table).where(old if last is None else at <= last)).rowcount
            total += gone
        if last is None:
            return total


def _delete(db: Database, table: Table, key: Column[object], old: ColumnElement[bool]) -> int:
    """Delete the rows that are *old*, a chunk a transaction; return how many there were."""
    total = 0
    while True:
        with db.writing() as connection:
            chunk = list(connection.execute(select(key).where(old).order_by(key).limit(CHUNK)).scalars())
            total += connection.execute(delete(table).where(key.in_(chunk))).rowcount
        if len(chunk) < CHUNK:
            return total
