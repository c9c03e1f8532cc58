"""One rollout, brought to where it can do nothing more now: facts are read, ``advance`` decides, rows follow."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, RowMapping, and_, exists, func, insert, not_, or_, select, text, update

from fleet.history.dispatch import dispatch
from fleet.history.fact_tables import rollout_events
from fleet.history.hosts import SILENT_AFTER
from fleet.history.inventory_tables import hosts
from fleet.history.moves import event
from fleet.history.rollout_tables import rollout_hosts, rollouts, waves
from fleet.history.stops import frozen, holding
from fleet.rollouts.advance import (
    Begin,
    Candidate,
    Decision,
    Dispatch,
    EndWave,
    Finish,
    OpenWave,
    RolloutFacts,
    WaveFacts,
    WithdrawPending,
    advance,
)
from fleet.rollouts.spec import RolloutSpec
from fleet.rollouts.states import LIVE, Hold, HostState, RolloutState, WaveState

_ONE_AT_A_TIME = 0x666C65657464
"""The key of the advisory lock of whoever dispatches on PostgreSQL: two rollouts never want one host at once."""

_MOST_ROUNDS = 100
"""More than any rollout needs to come to rest: its waves, twice, and its beginning and end."""

_COUNTS = select(rollout_hosts.c.wave, rollout_hosts.c.state, func.count().label("hosts"))


def advance_to_rest(connection: Connection, rollout_id: UUID, now: datetime) -> bool:
    """Carry decisions out until there are none; tell whether there was any. False where another planner is at it."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ONE_AT_A_TIME})
    query = select(rollouts).where(rollouts.c.id == rollout_id).with_for_update(skip_locked=True)
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        return False
    for done in range(_MOST_ROUNDS):
        decisions = advance(_facts(connection, row, now), now)
        if not decisions:
            return done > 0
        _carry_out(connection, row, decisions, now)
        row = connection.execute(query).mappings().one()
    raise RuntimeError(f"rollout {rollout_id} does not come to rest")


def _facts(connection: Connection, row: RowMapping, now: datetime) -> RolloutFacts:
    spec = RolloutSpec.parse(row["spec"])
    mine = rollout_hosts.c.rollout_id == row["id"]
    counts: dict[int, dict[HostState, int]] = defaultdict(dict)
    for host in connection.execute(_COUNTS.where(mine).group_by(rollout_hosts.c.wave, rollout_hosts.c.state)):
        counts[host.wave][host.state] = host.hosts
    query = select(waves).where(waves.c.rollout_id == row["id"]).order_by(waves.c.number)
    known = tuple(
        WaveFacts(number=wave.number, state=wave.state, counts=counts[wave.number])
        for wave in connection.execute(query)
    )
    open_ = [wave.number for wave in known if wave.state is WaveState.OPEN]
    return RolloutFacts(
        id=row["id"],
        spec=spec,
        state=row["state"],
        created_at=row["created_at"],
        waves=known,
        candidates=_candidates(connection, row["id"], open_, spec.max_parallel, now),
        holds=frozenset(Hold(hold) for hold in row["holds"]),
    )


def _candidates(
    connection: Connection, rollout_id: UUID, open_waves: Sequence[int], most: int, now: datetime
) -> tuple[Candidate, ...]:
    """Return the first pending hosts of open waves that could be dispatched now."""
    other = rollout_hosts.alias("other")
    busy = exists().where(and_(other.c.host_id == rollout_hosts.c.host_id, other.c.state.in_(LIVE)))
    query = (
        select(rollout_hosts.c.host_id, rollout_hosts.c.wave, rollout_hosts.c.position, rollout_hosts.c.not_before)
        .join(hosts, hosts.c.id == rollout_hosts.c.host_id)
        .where(rollout_hosts.c.rollout_id == rollout_id, rollout_hosts.c.wave.in_(open_waves))
        .where(rollout_hosts.c.state == HostState.PENDING, hosts.c.last_seen_at > now - SILENT_AFTER, ~busy)
        .where(not_(frozen(holding(connection, now))))
        .where(or_(rollout_hosts.c.not_before.is_(None), rollout_hosts.c.not_before <= now))
        .order_by(rollout_hosts.c.wave, rollout_hosts.c.position)
        .limit(most)
    )
    return tuple(Candidate(**row) for row in connection.execute(query).mappings())


def _carry_out(connection: Connection, row: RowMapping, decisions: Sequence[Decision], now: datetime) -> None:
    id = row["id"]
    dispatched = []
    events = []
    for decision in decisions:
        match decision:
            case Begin():
                _set_rollout(connection, id, state=RolloutState.RUNNING, started_at=now)
                events.append(event("began", id, now))
            case OpenWave(number=number):
                _set_wave(connection, id, number, state=WaveState.OPEN, opened_at=now)
                events.append(event("wave opened", id, now, details={"wave": number}))
            case Dispatch(host_id=host_id):
                dispatched.append(host_id)
            case WithdrawPending(reason=reason):
                _withdraw(connection, id, reason, now)
                events.append(event("withdrawn", id, now, details={"reason": reason}))
            case EndWave(number=number, state=state):
                _set_wave(connection, id, number, state=state, ended_at=now)
                events.append(event("wave ended", id, now, details={"wave": number, "state": state.value}))
            case Finish(state=state):
                _set_rollout(connection, id, state=state, ended_at=now)
                events.append(event("ended", id, now, details={"state": state.value}))
    dispatch(connection, row, dispatched, now)
    if events:
        connection.execute(insert(rollout_events), events)


def _set_rollout(connection: Connection, id: UUID, **values: object) -> None:
    connection.execute(update(rollouts).where(rollouts.c.id == id).values(values))


def _set_wave(connection: Connection, id: UUID, number: int, **values: object) -> None:
    connection.execute(update(waves).where(waves.c.rollout_id == id, waves.c.number == number).values(values))


def _withdraw(connection: Connection, id: UUID, reason: str, now: datetime) -> None:
    pending = (rollout_hosts.c.rollout_id == id, rollout_hosts.c.state == HostState.PENDING)
    values = {"state": HostState.CANCELLED, "reason": reason, "changed_at": now}
    connection.execute(update(rollout_hosts).where(*pending).values(values))
