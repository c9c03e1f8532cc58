"""What metrics and pages show of containers, which are counted as they change, and of each host, which takes as long as there are hosts."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, func, select

from fleet.history.inventory.container_moves import kinds
from fleet.history.inventory.following import checked_at, standings
from fleet.history.sql.database import Database
from fleet.history.tables.counters import host_updates
from fleet.history.tables.inventory import containers, hosts
from fleet.updates.outcome import Result

STATES = ("created", "running", "paused", "restarting", "removing", "exited", "dead")
"""The words of Docker's engine for how a container is."""
OTHER = "other"
"""Any other word: a host may say what it likes."""
_PRESENT = hosts.c.removed_at.is_(None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """The containers of the fleet."""

    states: Mapping[str, int]
    followed: Mapping[str, int]
    """Containers that follow a tag, by how they stand to it, as ``fleet outdated`` tells it."""
    pinned: int = 0
    """Containers that follow none."""
    checked_at: datetime | None = None
    """When the registries were last asked for the tag of theirs that was asked for longest ago; None: for none yet."""


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
        found = kinds(connection)
        stand = standings(connection, found)
        checked = checked_at(connection, found)
    states: Counter[str] = Counter()
    followed: Counter[str] = Counter()
    pinned = 0
    for kind, count in found.items():
        states[_word(kind.state)] += count
        if kind.image:
            followed[stand[kind]] += count
        else:
            pinned += count
    return Inventory(states=states, followed=followed, pinned=pinned, checked_at=checked)


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


def _word(state: str) -> str:
    return state if state in STATES else OTHER
