"""How the hosts of the fleet behaved, read from what happened to them: times, failures, and how long they were silent."""

from collections import Counter, defaultdict
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, select

from fleet.history.rollouts.caps import unhealthy
from fleet.history.rollouts.settling import failed_update
from fleet.history.sql.database import Database
from fleet.history.tables.facts import FAILURES, pulls, rollout_events, updates
from fleet.history.tables.inventory import hosts
from fleet.rollouts.failures import failure_of
from fleet.rollouts.habits import HostHabits
from fleet.rollouts.silence import SILENT_AFTER
from fleet.rollouts.states import HostState
from fleet.rollouts.windows import ZONE_LABEL
from fleet.updates.outcome import Result

LOOKED_AT = 20_000
"""How many of the newest updates, and of the newest events of rollouts, are looked at."""

PER_HOST = 50
"""How many of them count of one host, so that the latest months decide."""


def habits(db: Database) -> list[HostHabits]:
    """Return how each host that was not removed behaved, by name; of one that did nothing yet little is known."""
    with db.reading() as connection:
        now = db.moment(connection)
        done, spells = _updates(connection), _spells(connection)
        query = select(hosts, unhealthy().label("unhealthy")).where(hosts.c.removed_at.is_(None)).order_by(hosts.c.name)
        return [_habits(row, done[row["id"]], spells[row["id"]], now) for row in connection.execute(query).mappings()]


def _habits(row: Any, done: list[Any], spells: list[int], now: datetime) -> HostHabits:
    tried = [each for each in done if each.result not in (Result.ALREADY_CURRENT, Result.SKIPPED)]
    ran = [each for each in tried if each.result is Result.UPDATED]
    mirrors = Counter(each.mirror for each in tried if each.mirror)
    since: datetime = row["joined_at"] or row["created_at"]
    away = now - (row["last_seen_at"] or row["created_at"])
    return HostHabits(
        id=row["id"],
        name=row["name"],
        labels=row["labels"],
        zone=row["labels"].get(ZONE_LABEL, "UTC"),
        away_ms=_ms(away) if away >= SILENT_AFTER or row["last_seen_at"] is None else None,
        unhealthy=bool(row["unhealthy"]),
        updates=len(tried),
        failures=tuple(failure_of(failed_update(each, each.result)) for each in tried if each.result in FAILURES),
        pulls_ms=tuple(each.pull_ms for each in ran if each.pull_ms),
        applies_ms=tuple(_applied_ms(each) for each in ran),
        spells_ms=tuple(spells),
        known_ms=_ms(now - since),
        mirror=mirrors.most_common(1)[0][0] if mirrors else "",
    )


def _applied_ms(row: Any) -> int:
    return sum(ms for ms in (row.create_ms, row.stop_ms, row.start_ms, row.verify_ms) if ms)


def _updates(connection: Connection) -> dict[UUID, list[Any]]:
    """Return the newest updates of each host, newest first."""
    c = updates.c
    phases = (c.pull_ms, c.create_ms, c.stop_ms, c.start_ms, c.verify_ms)
    query = select(c.host_id, c.result, *phases, c.mirror, c.interrupted, pulls.c.ok)
    query = query.outerjoin(pulls, pulls.c.id == c.pull_id).order_by(c.id.desc()).limit(LOOKED_AT)
    found: dict[UUID, list[Any]] = defaultdict(list)
    for row in connection.execute(query):
        if len(found[row.host_id]) < PER_HOST:
            found[row.host_id].append(row)
    return found


def _spells(connection: Connection) -> dict[UUID, list[int]]:
    """Return how long each host was parked, each time, in milliseconds: a rollout tells of it, and of its end."""
    c = rollout_events.c
    newest = select(c.id, c.rollout_id, c.host_id, c.details, c.at).where(c.host_id.is_not(None))
    rows = connection.execute(newest.order_by(c.id.desc()).limit(LOOKED_AT)).all()
    parked: dict[tuple[UUID, UUID], datetime] = {}
    found: dict[UUID, list[int]] = defaultdict(list)
    for row in reversed(rows):
        key, state = (row.rollout_id, row.host_id), row.details.get("state")
        since = parked.pop(key, None)
        if state == HostState.PARKED:
            parked[key] = row.at
        # One that was given up was not heard of: how long it stays away is not known.
        elif since is not None and state == HostState.PENDING:
            found[row.host_id].append(_ms(row.at - since))
    return found


def _ms(length: timedelta) -> int:
    return round(length.total_seconds() * 1000)
