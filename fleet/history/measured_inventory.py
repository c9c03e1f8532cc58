"""What metrics show of containers and of each host: counted over the whole inventory, so it takes as long as the fleet is large."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, and_, case, func, select

from fleet.history.counter_tables import host_updates
from fleet.history.database import Database
from fleet.history.inventory_tables import container_digests, containers, hosts, tags
from fleet.updates.outcome import Result

STATES = ("created", "running", "paused", "restarting", "removing", "exited", "dead")
"""The words of Docker's engine for how a container is."""
OTHER = "other"
"""Any other word: a host may say what it likes."""
CURRENT, OUTDATED, UNKNOWN = "current", "outdated", "unknown"
_PRESENT = hosts.c.removed_at.is_(None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """The containers of the fleet."""

    states: Mapping[str, int]
    followed: Mapping[str, int]
    """Containers that follow a tag, by how they stand to it, as ``fleet outdated`` tells it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostMeasured:
    """One host."""

    name: str
    agent_version: str
    engine_version: str
    architecture: str
    last_seen_at: datetime | None
    containers: Mapping[str, int]
    updates: Mapping[Result, int]


def measure_inventory(db: Database) -> Inventory:
    """Return how the containers of the fleet stand; raises DatabaseUnreachable."""
    with db.reading() as connection:
        return Inventory(states=_states(connection), followed=_followed(connection))


def measure_hosts(db: Database) -> list[HostMeasured]:
    """Return every host that was not removed, by name; raises DatabaseUnreachable."""
    h = hosts.c
    query = select(h.id, h.name, h.agent_version, h.engine_version, h.architecture, h.last_seen_at).where(_PRESENT)
    with db.reading() as connection:
        states = _by_host(connection)
        ended = _updates(connection)
        rows = connection.execute(query.order_by(h.name)).all()
    return [
        HostMeasured(
            name=row.name,
            agent_version=row.agent_version,
            engine_version=row.engine_version,
            architecture=row.architecture,
            last_seen_at=row.last_seen_at,
            containers=states.get(row.id, {}),
            updates=ended.get(row.id, {}),
        )
        for row in rows
    ]


def _states(connection: Connection) -> Counter[str]:
    query = select(containers.c.state, func.count()).join(hosts, hosts.c.id == containers.c.host_id).where(_PRESENT)
    found: Counter[str] = Counter()
    for state, count in connection.execute(query.group_by(containers.c.state)):
        found[_word(state)] += count
    return found


def _by_host(connection: Connection) -> dict[UUID, Counter[str]]:
    query = select(containers.c.host_id, containers.c.state, func.count())
    found: dict[UUID, Counter[str]] = {}
    for host_id, state, count in connection.execute(query.group_by(containers.c.host_id, containers.c.state)):
        found.setdefault(host_id, Counter())[_word(state)] += count
    return found


def _updates(connection: Connection) -> dict[UUID, dict[Result, int]]:
    found: dict[UUID, dict[Result, int]] = {}
    for host_id, result, count in connection.execute(select(host_updates)):
        found.setdefault(host_id, {})[result] = count
    return found


def _followed(connection: Connection) -> dict[str, int]:
    """Count containers by how they stand to their tags: as ``fleet.controller.standing.stand``, for all of them at once."""
    c, t, d = containers.c, tags.c, container_digests.c
    has_digest = select(d.digest).where(d.host_id == c.host_id, d.container_id == c.id)
    runs_it = has_digest.where(d.digest == t.digest).exists()
    known = and_(has_digest.exists(), c.local_build.is_(False))
    standing = case(
        (func.coalesce(t.digest, "") == "", UNKNOWN),
        (runs_it, case((t.reason == "", CURRENT), else_=UNKNOWN)),
        (known, OUTDATED),
        else_=UNKNOWN,
    ).label("standing")
    each = (
        select(standing)
        .select_from(containers.join(hosts, hosts.c.id == c.host_id).outerjoin(tags, t.image == c.image))
        .where(_PRESENT, c.image != "")
        .subquery("each")
    )
    query = select(each.c.standing, func.count()).group_by(each.c.standing)
    return {word: int(count) for word, count in connection.execute(query)}


def _word(state: str) -> str:
    return state if state in STATES else OTHER
