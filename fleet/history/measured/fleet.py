"""What metrics show of the fleet as it stands, and of what was counted; by indexes or over small tables, never over facts."""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from fleet.history.inventory.host_pages import state_at
from fleet.history.measured.condition_counts import Look, latest_look
from fleet.history.noted.counting import Counted
from fleet.history.rollouts.wave_counts import counts_of
from fleet.history.sql.database import Database
from fleet.history.tables.counters import counters
from fleet.history.tables.facts import commands, rollout_events
from fleet.history.tables.inventory import hosts
from fleet.history.tables.road import outbox
from fleet.history.tables.rollouts import rollouts, schedules, waves
from fleet.rollouts.states import CommandState, Hold, HostState, RolloutState

MOST_ROLLOUTS = 20
"""Of how many rollouts that go on, the newest, the hosts are told by state."""

Counts = Mapping[Counted, Mapping[tuple[str, ...], int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutMeasured:
    """One rollout that goes on."""

    number: int
    hosts: Mapping[HostState, int]
    last_event: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleMeasured:
    """One schedule."""

    name: str
    last_run_at: datetime | None
    next_run_at: datetime | None
    """None where it is not enabled."""
    missed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The fleet, in figures that do not grow with it."""

    hosts: Mapping[str, int]
    """By how they stand: new (never heard of), online, silent."""
    agents: Mapping[str, int]
    """Hosts by the version of their agents; empty: not known yet."""
    commands: Mapping[CommandState, int]
    """Those that have not ended."""
    rollouts: Mapping[RolloutState, int]
    """Those that have not ended."""
    holds: Mapping[Hold, int]
    """Rollouts that go on, by why they send nothing new; one may have several reasons."""
    newest: tuple[RolloutMeasured, ...]
    """The newest of them."""
    schedules: tuple[ScheduleMeasured, ...]
    counts: Counts
    look: Look | None
    """None: no planner has looked for conditions yet."""


def measure(db: Database) -> Measured:
    """Return the fleet as it stands now, of one moment; raises DatabaseUnreachable."""
    with db.reading() as connection:
        now = db.moment(connection)
        standing, agents = _hosts(connection, now)
        states, holds, newest = _rollouts(connection)
        return Measured(
            hosts=standing,
            agents=agents,
            commands=_commands(connection),
            rollouts=states,
            holds=holds,
            newest=newest,
            schedules=_schedules(connection),
            counts=_counts(connection),
            look=latest_look(connection),
        )


def outbox_depth(db: Database) -> int:
    """Return how many messages to hosts are not sent yet; raises DatabaseUnreachable."""
    with db.reading() as connection:
        return connection.execute(select(func.count()).select_from(outbox)).scalar_one()


def _hosts(connection: Connection, now: datetime) -> tuple[Counter[str], Counter[str]]:
    standing = state_at(now)
    query = select(standing.label("standing"), hosts.c.agent_version, func.count().label("hosts"))
    states: Counter[str] = Counter()
    agents: Counter[str] = Counter()
    together = query.where(hosts.c.removed_at.is_(None)).group_by(standing, hosts.c.agent_version)
    for state, version, count in connection.execute(together):
        states[state] += count
        agents[version] += count
    return states, agents


def _commands(connection: Connection) -> dict[CommandState, int]:
    query = select(commands.c.state, func.count()).where(commands.c.ended_at.is_(None)).group_by(commands.c.state)
    return {word: int(count) for word, count in connection.execute(query)}


def _rollouts(
    connection: Connection,
) -> tuple[Counter[RolloutState], Counter[Hold], tuple[RolloutMeasured, ...]]:
    going = select(rollouts.c.id, rollouts.c.number, rollouts.c.state, rollouts.c.holds)
    rows = connection.execute(going.where(rollouts.c.ended_at.is_(None)).order_by(rollouts.c.id.desc())).all()
    newest = []
    for row in [row for row in rows if row.state is not RolloutState.DRAFT][:MOST_ROLLOUTS]:
        made = connection.execute(select(waves.c.number, waves.c.hosts).where(waves.c.rollout_id == row.id))
        by_state: Counter[HostState] = Counter()
        for found in counts_of(connection, row.id, made.mappings().all()).values():
            by_state.update(found)
        events = select(rollout_events.c.at).where(rollout_events.c.rollout_id == row.id)
        last = connection.execute(events.order_by(rollout_events.c.id.desc()).limit(1)).scalar()
        newest.append(RolloutMeasured(number=row.number, hosts=by_state, last_event=last))
    holds = Counter(Hold(hold) for row in rows for hold in row.holds)
    return Counter(row.state for row in rows), holds, tuple(newest)


def _schedules(connection: Connection) -> tuple[ScheduleMeasured, ...]:
    s = schedules.c
    query = select(s.name, s.last_run_at, s.next_run_at, s.enabled, s.missed).order_by(s.name)
    return tuple(
        ScheduleMeasured(
            name=row.name,
            last_run_at=row.last_run_at,
            next_run_at=row.next_run_at if row.enabled else None,
            missed=row.missed or 0,
        )
        for row in connection.execute(query)
    )


def _counts(connection: Connection) -> Counts:
    found: dict[Counted, dict[tuple[str, ...], int]] = defaultdict(dict)
    known = set(Counted)
    for counter, labels, count in connection.execute(select(counters)):
        if counter in known:  # a later release, of which this one runs beside, may count more
            found[Counted(counter)][tuple(json.loads(labels))] = count
    return found
