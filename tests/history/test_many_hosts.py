"""A rollout over more hosts than one statement may name, of which some go another way than the rest."""

import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import event

from fleet.history.tables.facts import commands, rollout_events
from fleet.history.tables.rollouts import rollout_hosts
from fleet.rollouts.spec import Gate, LateJoiners, OfflineSpec, RolloutSpec, TrySpec, WaveSpec
from fleet.rollouts.states import CommandState, HostState
from fleet.updates.outcome import Result
from tests.history.world import World, container, rows

MOST_NAMED = 50
"""So many values a statement may have here: less than hosts, more than any row has columns."""
HOSTS = 60
LENIENT = Gate(success_pct=0, tolerance_pct=100, min_successes=0)


@pytest.fixture
def narrow(world: World) -> Iterator[World]:
    """A world whose database takes few values with one statement; PostgreSQL's own limit cannot be moved."""
    if world.db.dialect != "sqlite":
        yield world
        return

    def limit(connection: Any, _entry: object) -> None:
        connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, MOST_NAMED)

    event.listen(world.db.engine, "connect", limit)
    world.db.engine.dispose()
    yield world
    # Other tests share the database, one after the other.
    event.remove(world.db.engine, "connect", limit)
    world.db.engine.dispose()


def test_a_rollout_names_no_host_one_by_one(narrow: World) -> None:
    """Those that change alike are written together and the others alone: each stands where it belongs."""
    agents = [narrow.add_host(f"h{number:02}", container("web")) for number in range(HOSTS)]
    agents[7].result, agents[9].result = Result.FAILED, Result.ROLLED_BACK
    spec = RolloutSpec(
        waves=(WaveSpec(gate=LENIENT),),
        max_parallel=HOSTS,
        tries=TrySpec(max=1),
        offline=OfflineSpec(park=True),
        late_joiners=LateJoiners.CONVERGE,
        quarantine_after=3,
    )
    narrow.rollout(spec=spec)
    narrow.run()
    ends = {row["host_id"]: row for row in rows(narrow.db, rollout_hosts)}
    wrong = {agents[7].id, agents[9].id}
    assert {id for id, row in ends.items() if row["state"] is HostState.FAILED} == wrong
    assert {row["state"] for id, row in ends.items() if id not in wrong} == {HostState.SUCCEEDED}
    assert {row["reason"] for id, row in ends.items() if id in wrong} == {"cannot do it"}
    asked = {row["host_id"]: row for row in rows(narrow.db, commands)}
    assert {row["state"] for row in asked.values()} == {CommandState.DONE}
    assert {id: row["command_id"] for id, row in ends.items()} == {id: row["id"] for id, row in asked.items()}
    events = sorted(rows(narrow.db, rollout_events), key=lambda row: row["id"])
    told = [row["details"]["state"] for row in events if row["host_id"] == agents[7].id]
    assert told == ["dispatched", "pulling", "ready", "applying", "failed"]
