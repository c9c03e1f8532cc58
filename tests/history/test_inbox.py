"""What hosts write is taken once, whole or not at all, and one message never spoils another."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import event, text

from fleet.errors import Refused, TimedOut
from fleet.history.commands.moves import commands_by_id
from fleet.history.inbox import taking as inbox
from fleet.history.inbox.taking import Bad
from fleet.history.inventory import hosts as hosts_room
from fleet.history.questions import queries
from fleet.history.questions.queries import OutcomeFilter
from fleet.history.sql.database import Database
from fleet.history.tables.facts import attempts, pulls, updates
from fleet.history.tables.inventory import hosts
from fleet.history.tables.road import messages, outbox, progress, refused
from fleet.ids import new_id
from fleet.road.messages import Heartbeat, HostFacts, Order, Outcome, Progress, Ready
from fleet.updates.outcome import PullOutcome, Result, Tier
from tests.history.conftest import HeldClock
from tests.history.world import BY, Agent, World, container, rows


def _going(world: World, name: str = "web-1") -> tuple[Agent, Outcome]:
    """Return a host that has its go, and the outcome that it will tell."""
    agent = world.add_host(name, container("web"))
    world.rollout(name)
    world.deliver(world.until(Order))
    world.tick()
    (order,) = agent.orders.values()
    return agent, agent.outcome(order, order.targets[0].update_id)


def test_a_message_is_taken_once(world: World) -> None:
    agent = world.add_host("web-1")
    beat = world.good(agent, world.heartbeat())
    assert world.take_all([beat, beat]).repeated == 1
    assert world.take_all([beat]).repeated == 1
    assert len([row for row in rows(world.db, messages) if row["id"] == beat.id]) == 1


def test_a_batch_may_name_more_commands_than_one_statement_holds(world: World) -> None:
    """Each of five hundred heartbeats names up to two hundred, and drivers take 65,535 values: the inbox would stop."""
    with world.db.writing() as connection:
        assert commands_by_id(connection, [uuid4() for _ in range(500 * 200)]) == {}


def test_an_outcome_that_is_repeated_is_confirmed_again_and_stands_once(world: World) -> None:
    agent, outcome = _going(world)
    taken = world.good(agent, outcome)
    world.take_all([taken])
    world.take_all([taken, world.good(agent, outcome)])
    assert len(rows(world.db, updates)) == 1
    confirmed = [row["body"]["ids"] for row in rows(world.db, outbox)]
    assert confirmed == [[str(outcome.outcome.update_id)]] * 2


def test_the_first_word_about_an_outcome_holds(world: World) -> None:
    agent, outcome = _going(world)
    other = outcome.model_copy(update={"outcome": replace(outcome.outcome, result=Result.FAILED)})
    world.take(agent, outcome, other)
    assert [row["result"] for row in rows(world.db, updates)] == [Result.UPDATED]


def test_garbage_is_kept_for_inspection_and_stops_nothing(world: World) -> None:
    agent, outcome = _going(world)
    garbage = [Bad(raw=b"\x00\xff garbage" * 1000, reason="cannot trust this message: \0")]
    result = world.take_all(
        [*garbage, world.good(agent, outcome), Bad(raw=b"", reason="too large", host_id=agent.id.hex)]
    )
    assert (result.taken, result.refused) == (1, 2)
    kept = {row["size_bytes"]: row for row in rows(world.db, refused)}
    assert kept[10_000]["raw"] == garbage[0].raw[:4096]
    assert kept[0]["host_id"] == agent.id
    assert len(rows(world.db, updates)) == 1


@pytest.mark.parametrize(
    "spoil",
    [
        {"reason": "cannot \0 do it"},
        {"reason": "x" * 900_000},
        {"old_digest": "y" * 100_000, "new_digest": "é" * 100_000},
        {"downtime_ms": 2**70},
        {"downtime_ms": -(2**70)},
        {"config_diff": ("\0",) * 10_000},
        {"new_container_id": "\0" * 3000},
        {"phases": None},
    ],
    ids=["nul", "long", "digests", "huge", "tiny", "lines", "nuls", "none"],
)
def test_a_value_that_no_column_takes_spoils_its_own_message_at_most(world: World, spoil: dict[str, object]) -> None:
    agent, outcome = _going(world)
    other, good = _going(world, "web-2")
    bad = outcome.model_copy(update={"outcome": replace(outcome.outcome, **spoil)})  # type: ignore[arg-type]
    batch = [world.good(agent, world.heartbeat()), world.good(agent, bad), world.good(other, good)]
    result = world.take_all(batch)
    assert result.taken + result.refused == 3
    assert good.outcome.update_id in {row["id"] for row in rows(world.db, updates)}
    assert result.refused == len(rows(world.db, refused)) == ("phases" in spoil)


def test_who_sends_much_that_cannot_be_written_has_it_tried_a_few_times(world: World) -> None:
    """To find each takes a dozen tries, during which what others say waits."""
    agent, outcome = _going(world)
    other, good = _going(world, "web-2")
    bad = outcome.model_copy(update={"outcome": replace(outcome.outcome, phases=None)})  # type: ignore[arg-type]
    batch = [message for _ in range(50) for message in (world.good(agent, bad), world.good(other, world.heartbeat()))]
    result = world.take_all([*batch, world.good(other, good)])
    assert (result.taken, result.refused) == (51, 50)
    tried = [row for row in rows(world.db, refused) if "it was not tried" not in row["reason"]]
    assert len(tried) == inbox.MOST_UNWRITABLE
    assert [row["id"] for row in rows(world.db, updates)] == [good.outcome.update_id]


def test_a_year_that_no_database_knows_spoils_nothing(world: World) -> None:
    agent, outcome = _going(world)
    for year in (1, 9999):
        at = datetime.fromisoformat(f"{year:04}-01-01T00:00:00+14:00")
        beat = world.heartbeat().model_copy(update={"host_time": at})
        result = world.take(agent, beat, outcome.model_copy(update={"finished_at": at}))
        assert result.taken + result.refused == 2
        assert result.taken >= 1


def test_a_host_tells_only_of_what_it_was_asked(world: World) -> None:
    """An enrolled host cannot write another host's history, nor make up pulls or updates of its own."""
    agent, outcome = _going(world)
    stranger, _ = _going(world, "web-2")
    made_up = outcome.model_copy(update={"outcome": replace(outcome.outcome, update_id=new_id())})
    pull = PullOutcome(pull_id=new_id(), reference="a", digest="b", ok=True, tier=Tier.PRESENT)
    with_pull = outcome.model_copy(update={"pull": pull})
    ready = Ready(command=outcome.command, pulls=(pull,))
    before = len(rows(world.db, pulls))
    assert world.take(stranger, outcome).refused == 1
    assert world.take(agent, made_up, with_pull, ready).refused == 3
    assert rows(world.db, updates) == []
    assert len(rows(world.db, pulls)) == before
    told = [id for row in rows(world.db, outbox) if row["body"]["kind"] == "receipt" for id in row["body"]["ids"]]
    assert str(made_up.outcome.update_id) in told, "the host would repeat it for ever"


def test_a_pull_is_known_by_its_order_and_not_by_the_hosts_words(world: World) -> None:
    agent, outcome = _going(world)
    (order,) = agent.orders.values()
    (pull_id,) = order.pull_ids.values()
    lie = replace(agent.pull(order, pull_id), reference="evil.lan/x:1", digest="sha256:00")
    world.take(agent, outcome.model_copy(update={"pull": lie}))
    (pull,) = rows(world.db, pulls)
    assert (pull["image"], pull["digest"]) == ("docker.io/library/nginx:1.27", order.targets[0].digest)


def test_a_failed_pull_comes_with_its_outcome(world: World) -> None:
    agent = world.add_host("web-1", container("web"))
    world.rollout()
    (sent,) = world.until(Order)
    assert isinstance(sent.message, Order)
    order = sent.message
    (pull_id,) = order.pull_ids.values()
    failed = replace(agent.pull(order, pull_id), ok=False, reason="cannot reach any source")
    outcome = agent.outcome(order, order.targets[0].update_id, Result.FAILED)
    world.take(agent, outcome.model_copy(update={"pull": failed}))
    (row,) = queries.outcomes(world.db, OutcomeFilter(outcome=Result.FAILED)).items
    pull = queries.outcome(world.db, row.id).pull
    assert pull is not None
    assert (pull.ok, pull.reason) == (False, "cannot reach any source")
    assert [attempt.redirected_to for attempt in pull.attempts] == [(), ("cdn.lan:5000",)]


def test_messages_of_a_removed_host_are_refused(world: World) -> None:
    agent, outcome = _going(world)
    hosts_room.remove_host(world.db, "web-1", **BY)
    result = world.take(agent, world.heartbeat(), outcome)
    assert (result.taken, result.refused) == (0, 2)
    assert rows(world.db, outbox) == []


def test_a_heartbeat_writes_the_hosts_facts_and_joins_it(world: World, clock: HeldClock) -> None:
    agent = world.add_host("web-1", heard=False)
    facts = HostFacts(agent_version="9.9", engine_version="26.1", os="linux", problems=("mirror-dead: cannot x",))
    world.take(agent, Heartbeat(facts=facts, outcomes_waiting=3, host_time=datetime(2026, 11, 25, 11, 59)))  # noqa: DTZ001
    (row,) = rows(world.db, hosts)
    assert (row["agent_version"], row["engine_version"], row["problems"]) == ("9.9", "26.1", facts.problems)
    assert (row["joined_at"], row["last_seen_at"], row["outcomes_waiting"]) == (clock.at, clock.at, 3)
    assert row["skew_ms"] == -60_000
    clock.move(minutes=5)
    world.take(agent, world.heartbeat())
    (row,) = rows(world.db, hosts)
    assert (row["joined_at"], row["last_seen_at"]) == (clock.at.replace(minute=0), clock.at)


def test_progress_is_the_latest_word_about_a_live_command(world: World) -> None:
    agent = world.add_host("web-1", container("web"))
    rollout_id = world.rollout()
    (sent,) = world.until(Order)
    assert isinstance(sent.message, Order)
    id = sent.message.command
    steps = [Progress(command=id, phase="pull", bytes=n, total=9, mirror="http://good.lan") for n in (1, 5)]
    world.take(agent, *steps)
    world.take(agent, Progress(command=uuid4(), phase="pull"))
    (row,) = queries.progress(world.db, rollout_id)
    assert (row.host, row.phase, row.bytes, row.total, row.mirror) == ("web-1", "pull", 5, 9, "http://good.lan")
    assert len(rows(world.db, progress)) == 1


def test_there_is_one_inbox_at_a_time(world: World, tmp_path: Path) -> None:
    with pytest.raises(TimedOut), inbox.lock(world.db, state_dir=tmp_path, wait_s=0, clock=HeldClock()):
        pass
    assert world.lock.held()


def test_a_lock_is_free_once_its_holder_is_gone(db: Database, tmp_path: Path) -> None:
    for _ in range(2):
        with inbox.lock(db, state_dir=tmp_path, wait_s=0) as lock:
            assert lock.held()


def test_nothing_is_taken_once_the_lock_is_lost(world: World, tmp_path: Path) -> None:
    agent = world.add_host("web-1")
    if world.db.dialect == "sqlite":
        (tmp_path / "inbox.lock").unlink()
    else:
        with world.db.writing() as connection:
            ends = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
            connection.execute(text(ends))
    assert not world.lock.held()
    with pytest.raises(Refused, match="lock"):
        world.take(agent, world.heartbeat())


def test_a_fault_of_the_centre_keeps_the_host_repeating_its_outcome(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No receipt is sent for what could not be written, so that nothing is lost until the fault is mended."""
    agent, outcome = _going(world)
    with monkeypatch.context() as broken:
        broken.setattr(inbox, "take_outcome", lambda *_: 1 / 0)
        assert world.take(agent, outcome).refused == 1
    assert rows(world.db, outbox) == []
    world.take(agent, outcome)
    assert len(rows(world.db, updates)) == 1


def test_a_batch_of_heartbeats_costs_few_statements(world: World) -> None:
    agents = [world.add_host(f"web-{number}", heard=False) for number in range(20)]
    batch = [world.good(agent, world.heartbeat()) for agent in agents]
    ran = []

    def count(*args: object) -> None:
        ran.append(args[2])

    event.listen(world.db.engine, "before_cursor_execute", count)
    world.take_all(batch)
    event.remove(world.db.engine, "before_cursor_execute", count)
    assert len(ran) < 15


def test_every_outcome_of_a_batch_is_found_with_its_pull(world: World) -> None:
    agents = [world.add_host(f"web-{number}", container("web")) for number in range(5)]
    world.rollout()
    world.run(12)
    assert len(queries.outcomes(world.db, OutcomeFilter()).items) == 5
    assert len(rows(world.db, pulls)) == 5
    assert len(rows(world.db, attempts)) == 10
    assert all(not agent.outcomes for agent in agents)
