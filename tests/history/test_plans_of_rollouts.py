"""What a tick reads while nothing is to be done: by indexes, and no more of a large rollout than of a small one."""

from contextlib import ExitStack
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, insert, text

from fleet.history import tick
from fleet.history.database import Database
from fleet.history.inventory_tables import hosts
from fleet.history.rollout_tables import rollout_hosts, rollouts, waves
from fleet.ids import new_id
from fleet.rollouts.spec import Gate, LateJoiners, OfflineSpec, RolloutSpec, WaveSpec
from fleet.rollouts.states import HostState, RolloutState, WaveState
from tests.history.conftest import HeldClock
from tests.history.test_plans_of_queries import buffers, explained, statements

SMALL, LARGE = 300, 3000
LIVE = 5
ENDED = 5
SPEC = RolloutSpec(
    waves=(WaveSpec(gate=Gate()),),
    max_parallel=LIVE,
    offline=OfflineSpec(park=True),
    late_joiners=LateJoiners.CONVERGE,
    quarantine_after=3,
)
COUNTED = "FROM rollout_hosts AS counted"
"""The one question that grows: how many hosts are in which state, from an index alone."""


def fill(db: Database, count: int, now: datetime) -> UUID:
    """Write a rollout of *count* hosts that is under way: as many live as may be, the others waiting."""
    ids, rollout = [new_id() for _ in range(count)], new_id()
    empty: dict[str, Any] = {c.name: None if c.nullable else "" for c in hosts.columns}
    lists = {"labels": {"site": "a"}, "reads": [1], "problems": [], "mirrors": [], "containerd_store": False}
    with db.writing() as connection:
        values = empty | lists | {"outcomes_waiting": 0, "created_at": now, "last_seen_at": now}
        connection.execute(insert(hosts), [values | {"id": id, "name": f"h{n}"} for n, id in enumerate(ids)])
        _write_ended(connection, ids, now)
        row: dict[str, Any] = {"id": rollout, "number": 1, "spec": SPEC.document(), "holds": [], "reason": ""}
        row |= {"state": RolloutState.RUNNING, "asked_by": "x", "created_at": now, "started_at": now}
        connection.execute(insert(rollouts), [row])
        wave = {"rollout_id": rollout, "number": 0, "state": WaveState.OPEN, "opened_at": now, "active_since": now}
        connection.execute(insert(waves), [wave])
        placed = {"rollout_id": rollout, "wave": 0, "targets": [], "tries": 0, "reason": "", "changed_at": now}
        states = [HostState.DISPATCHED] * LIVE + [HostState.PENDING] * (count - LIVE)
        rows = [placed | {"host_id": h, "position": n, "state": states[n]} for n, h in enumerate(ids)]
        connection.execute(insert(rollout_hosts), rows)
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
    return rollout


def _write_ended(connection: Connection, ids: list[UUID], now: datetime) -> None:
    """Write what came before: every host in some rollouts that are over."""
    for number in range(2, 2 + ENDED):
        id = new_id()
        row: dict[str, Any] = {"id": id, "number": number, "spec": SPEC.document(), "holds": [], "reason": ""}
        row |= {"state": RolloutState.COMPLETED, "asked_by": "x", "created_at": now, "started_at": now, "ended_at": now}
        connection.execute(insert(rollouts), [row])
        done = {"rollout_id": id, "wave": 0, "targets": [], "tries": 1, "reason": "", "changed_at": now}
        rows = [done | {"host_id": h, "position": n, "state": HostState.SUCCEEDED} for n, h in enumerate(ids)]
        connection.execute(insert(rollout_hosts), rows)


@pytest.mark.postgresql
@pytest.mark.parametrize("db", ["postgresql"], indirect=True)
def test_an_idle_tick_reads_no_more_of_a_large_rollout(db: Database, clock: HeldClock) -> None:
    """Counted in pages of the database, so that noise cannot touch it; but for the counts, which an index alone answers."""
    read = {}
    for count in (SMALL, LARGE):
        with ExitStack() as stack:
            rollout = fill(db, count, clock.now())
            with statements(db) as sent:
                assert not tick.advance_rollout(db, rollout)
            plans = {statement: explained(db, statement, parameters) for statement, parameters in sent}
            (counted,) = [plan for statement, plan in plans.items() if COUNTED in statement]
            # All of a small table is read faster than an index of it.
            assert count == SMALL or _kinds(counted) <= {"Aggregate", "Function Scan", "Index Only Scan"}, _kinds(
                counted
            )
            read[count] = sum(buffers(plan) for statement, plan in plans.items() if COUNTED not in statement)
            stack.callback(_empty, db)
    assert read[LARGE] <= 1.5 * read[SMALL], read


def _kinds(plan: dict[str, Any]) -> set[str]:
    return {plan["Node Type"]}.union(*(_kinds(child) for child in plan.get("Plans", [])))


def _empty(db: Database) -> None:
    with db.writing() as connection:
        for table in (rollout_hosts, waves, rollouts, hosts):
            connection.execute(text(f"DELETE FROM {table.name}"))
