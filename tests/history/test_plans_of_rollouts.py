"""What a tick reads while nothing is to be done: by indexes, no more of a large rollout than of a small one, and no row for each
host that is under way.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, func, insert, select, text, update

from fleet.history.rollouts import tick
from fleet.history.rollouts.wave_moves import MANY as MANY_MOVES
from fleet.history.sql.database import Database
from fleet.history.tables.facts import commands
from fleet.history.tables.inventory import hosts
from fleet.history.tables.rollouts import rollout_hosts, rollouts, wave_moves, waves
from fleet.ids import new_id
from fleet.rollouts.spec import Gate, LateJoiners, OfflineSpec, RolloutSpec, WaveSpec
from fleet.rollouts.states import CommandState, HostState, RolloutState, WaveState
from tests.history.conftest import HeldClock
from tests.history.test_plans_of_queries import buffers, explained, statements

SMALL, LARGE = 300, 3000
FEW, MANY = 5, 1000
"""Hosts that are under way at once."""
ENDED = 5
SPEC = RolloutSpec(
    waves=(WaveSpec(gate=Gate()),),
    offline=OfflineSpec(park=True),
    late_joiners=LateJoiners.CONVERGE,
    quarantine_after=3,
)
MOST_BUFFERS = 700
"""Of all statements of an idle tick: five for each of the hundred hosts that are looked at next, and few for the rest."""
MOST_ROWS = 300
"""Of its scans: two for each of the hosts that are looked at next, and few for the rest."""
WHOLE_WAYS = ("seqscan", "hashjoin", "mergejoin")
"""Ways that read all of a table. Of three hundred hosts that may be quicker, or not, as full as the pages are: a choice, and
no measure of how what is read grows."""
GROWING = {"hosts", "rollout_hosts", "commands"}
"""The tables that are of the fleet's size, or of that of what is under way."""


def fill(db: Database, count: int, live: int, now: datetime) -> UUID:
    """Write a rollout of *count* hosts, of which so many have just been dispatched and the others wait."""
    ids, rollout = [new_id() for _ in range(count)], new_id()
    empty: dict[str, Any] = {c.name: None if c.nullable else "" for c in hosts.columns}
    lists = {"labels": {"site": "a"}, "reads": [1], "problems": [], "mirrors": [], "containerd_store": False}
    with db.writing() as connection:
        values = empty | lists | {"outcomes_waiting": 0, "created_at": now, "last_seen_at": now}
        connection.execute(insert(hosts), [values | {"id": id, "name": f"h{n}"} for n, id in enumerate(ids)])
        _write_ended(connection, ids, now)
        document = replace(SPEC, max_parallel=live).document()
        row: dict[str, Any] = {"id": rollout, "number": 1, "spec": document, "holds": [], "reason": ""}
        row |= {"state": RolloutState.RUNNING, "asked_by": "x", "created_at": now, "started_at": now}
        connection.execute(insert(rollouts), [row])
        wave = {"rollout_id": rollout, "number": 0, "state": WaveState.OPEN, "opened_at": now, "active_since": now}
        connection.execute(insert(waves), [wave | {"hosts": count}])
        placed = {"rollout_id": rollout, "wave": 0, "targets": [], "tries": 0, "reason": "", "changed_at": now}
        rows = [placed | {"host_id": h, "position": n, "state": HostState.PENDING} for n, h in enumerate(ids)]
        connection.execute(insert(rollout_hosts), rows)
        _write_commands(connection, rollout, ids[:live], now)
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE" if db.dialect == "postgresql" else "ANALYZE"))
    _dispatch(db, rollout, live)
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


def _write_commands(connection: Connection, rollout: UUID, ids: list[UUID], now: datetime) -> None:
    """Write commands of which nothing is due."""
    row: dict[str, Any] = {"rollout_id": rollout, "asked_by": "x", "state": CommandState.OFFERED, "order": {}}
    row |= {"targets": 1, "sent": 1, "reason": "", "created_at": now, "changed_at": now, "sent_at": now}
    row |= {"due_at": now + timedelta(minutes=1), "deadline": now + timedelta(minutes=10)}
    connection.execute(insert(commands), [row | {"id": new_id(), "host_id": id} for id in ids])


def _dispatch(db: Database, rollout: UUID, live: int) -> None:
    """Move the first hosts on, as statement after statement does, and let nothing be vacuumed behind it."""
    c = rollout_hosts.c
    for first in range(0, live, 20):
        mine = (c.rollout_id == rollout, c.position.between(first, min(first + 20, live) - 1))
        with db.writing() as connection:
            connection.execute(update(rollout_hosts).where(*mine).values(state=HostState.DISPATCHED))


def idle(db: Database) -> None:
    """Do all of a tick's SQL where nothing is to be done."""
    assert tick.expire(db) == 0
    for id in tick.active_rollouts(db):
        assert not tick.advance_rollout(db, id).changed
    assert tick.due_messages(db) == []


@pytest.mark.postgresql
@pytest.mark.parametrize("fresh", ["postgresql"], indirect=True)
def test_an_idle_tick_reads_no_more_of_a_large_rollout_or_of_many_live_hosts(fresh: Database, clock: HeldClock) -> None:
    """Counted in pages of the database and in rows, so that noise cannot touch it: by the indexes, to compare one size with
    another, and as the planner would have it, against what a tick may read at most.
    """
    compared, read, rows = {}, {}, {}
    for case in ((SMALL, FEW), (LARGE, FEW), (LARGE, MANY)):
        count, live = case
        fill(fresh, count, live, clock.now())
        idle(fresh)  # whoever comes first passes what has just moved away, and marks it
        with statements(fresh) as sent:
            idle(fresh)
        by_index = [explained(fresh, *each, without=WHOLE_WAYS) for each in sent]
        chosen = [explained(fresh, *each) for each in sent]
        _check_nothing_is_read_whole(sent, by_index)
        if live == MANY:  # a page or two are read faster without an index
            _check_nothing_is_read_whole(sent, chosen)
        compared[case], read[case] = sum(map(buffers, by_index)), sum(map(buffers, chosen))
        rows[case] = sum(map(_rows, chosen))
        _empty(fresh)
    assert compared[LARGE, FEW] <= 1.5 * compared[SMALL, FEW], compared
    assert compared[LARGE, MANY] <= 1.5 * compared[LARGE, FEW], compared
    assert max(read.values()) <= MOST_BUFFERS, read
    assert max(rows[LARGE, FEW], rows[LARGE, MANY]) <= MOST_ROWS, rows  # all of a small table is read faster


def _check_nothing_is_read_whole(sent: list[tuple[str, Any]], plans: list[dict[str, Any]]) -> None:
    whole = {
        statement: tables for (statement, _), plan in zip(sent, plans, strict=True) if (tables := _read_whole(plan))
    }
    assert not whole, whole


@pytest.mark.parametrize("fresh", ["sqlite"], indirect=True)
def test_an_idle_tick_looks_rows_up_in_indexes_and_counts_in_an_index_alone(fresh: Database, clock: HeldClock) -> None:
    """SQLite has no pages to count; that it goes through no table is seen in its plans."""
    fill(fresh, LARGE, MANY, clock.now())
    with statements(fresh) as sent:
        idle(fresh)
    counting = []
    for statement, parameters in sent:
        with fresh.reading() as connection:
            plan = [str(row[3]) for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
        assert not {f"SCAN {table}" for table in GROWING}.intersection(plan), (statement, plan)
        counting += [step for step in plan if step.startswith("SEARCH counted")]
    assert counting
    assert all("USING COVERING INDEX ix_rollout_hosts_wave" in step for step in counting), counting


@pytest.mark.postgresql
@pytest.mark.parametrize("fresh", ["postgresql"], indirect=True)
def test_ticks_gather_what_moves_have_left(fresh: Database, clock: HeldClock) -> None:
    rollout = fill(fresh, LARGE, MANY, clock.now())
    assert _moves(fresh, rollout) >= MANY_MOVES
    idle(fresh)
    assert _moves(fresh, rollout) == 1


def _moves(db: Database, rollout: UUID) -> int:
    with db.reading() as connection:
        mine = select(func.count()).select_from(wave_moves).where(wave_moves.c.rollout_id == rollout)
        return connection.execute(mine).scalar_one()


def _rows(plan: dict[str, Any]) -> int:
    """Return how many rows the scans of a plan gave."""
    scanned = plan["Actual Rows"] * plan["Actual Loops"] if "Scan" in plan["Node Type"] else 0
    return int(scanned) + sum(map(_rows, plan.get("Plans", [])))


def _read_whole(plan: dict[str, Any]) -> set[str]:
    """Return the tables that a plan goes through, row by row, and that hold any; of commands each month is a table."""
    found = set()
    if plan["Node Type"] == "Seq Scan" and (plan["Actual Rows"] or plan.get("Rows Removed by Filter")):
        name = str(plan["Relation Name"])
        found = {name} & GROWING | ({"commands"} if name.startswith("commands_") else set())
    return found.union(*(_read_whole(child) for child in plan.get("Plans", [])))


def _empty(db: Database) -> None:
    with db.writing() as connection:
        for table in (commands, wave_moves, rollout_hosts, waves, rollouts, hosts):
            connection.execute(text(f"DELETE FROM {table.name}"))
