"""Several at once: two planners do nothing twice, two inboxes lose nothing, and nobody waits for ever."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import Table, insert, select, text

from fleet.errors import DatabaseUnreachable, Refused
from fleet.history.inbox import taking as inbox
from fleet.history.inbox.taking import Good
from fleet.history.questions import queries
from fleet.history.registries import tags
from fleet.history.rollouts import plans, schedules, tick
from fleet.history.rollouts.tick import Outgoing
from fleet.history.rules import stops
from fleet.history.sql.database import Database
from fleet.history.tables.facts import commands, updates
from fleet.history.tables.rollouts import rollout_hosts, rollouts
from fleet.history.tables.rollouts import stops as stops_table
from fleet.history.tables.words import ScheduleAction
from fleet.ids import new_id
from fleet.road.messages import Order
from fleet.rollouts.selector import Selector
from fleet.rollouts.states import LIVE
from fleet.rollouts.stops import StopKind
from tests.history.conftest import HeldClock
from tests.history.world import BY, World, container, open_world, rows


def _at_once(*works: Callable[[], None]) -> None:
    """Run *works* in threads that start together; raise what one of them raised."""
    gate = threading.Barrier(len(works))
    failures: list[BaseException] = []

    def run(work: Callable[[], None]) -> None:
        gate.wait()
        try:
            work()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "it waits for ever"
    if failures:
        raise failures[0]


def test_two_planners_send_nothing_twice(world: World) -> None:
    for number in range(12):
        world.add_host(f"web-{number}", container("web"))
    for version in ("a", "b"):
        world.rollout(version=version)
    sent: list[Outgoing] = []

    def plan() -> None:
        for _ in range(6):
            try:
                sent.extend(world.tick())
            except DatabaseUnreachable:
                # A deadlock would end here; the next tick makes it good.
                raise AssertionError("two planners met in a deadlock") from None

    _at_once(plan, plan, plan)
    tokens = [each.token for each in sent]
    assert len(tokens) == len(set(tokens)) == 12
    live = [row["host_id"] for row in rows(world.db, rollout_hosts) if row["state"] in LIVE]
    assert len(live) == len(set(live)) == 12
    assert len(rows(world.db, commands)) == 12


def test_planners_and_an_inbox_at_once_do_everything_once(world: World) -> None:
    for number in range(8):
        world.add_host(f"web-{number}", container("web"))
    world.rollout()
    road: list[Outgoing] = []
    done = threading.Event()

    def plan() -> None:
        for _ in range(60):
            road.extend(world.tick())
            if done.is_set():
                return

    def read() -> None:
        for _ in range(200):
            batch: list[Good] = []
            while road:
                each = road.pop(0)
                agent = world.agents[each.host_id]
                batch += [world.good(agent, up) for up in agent.hear(each.message)]
            world.take_all(batch)
            if len(rows(world.db, updates)) == 8:
                break
        done.set()

    _at_once(plan, plan, read)
    world.run()
    assert len(rows(world.db, updates)) == 8
    assert all(len(agent.recreated) == 1 for agent in world.agents.values())
    assert queries.rollout(world.db, 1).rollout.ended_at is not None


def test_two_inboxes_on_one_list_lose_nothing(db: Database, tmp_path: Path) -> None:
    """The second waits until the first is gone; both read, take and trim the same list."""
    with ExitStack() as stack:
        world = open_world(db, tmp_path, stack)
        agents = [world.add_host(f"web-{number}", container("web")) for number in range(10)]
        world.rollout()
        world.deliver(world.until(Order))
        world.tick()
    waiting = [
        world.good(agent, agent.outcome(order, target.update_id))
        for agent in agents
        for order in agent.orders.values()
        for target in order.targets
    ]
    read: list[int] = []

    def work() -> None:
        while waiting:
            with inbox.lock(db, state_dir=tmp_path, wait_s=30) as lock:
                for _ in range(2):
                    batch = waiting[:2]
                    read.append(inbox.take(db, lock, batch).taken)
                    assert lock.held()
                    del waiting[: len(batch)]

    _at_once(work, work)
    assert len(rows(db, updates)) == 10
    assert sum(read) == 10


@pytest.mark.postgresql
@pytest.mark.parametrize("db", ["postgresql"], indirect=True)
def test_nobody_is_dispatched_past_a_stop_that_is_being_written(world: World) -> None:
    world.add_host("web-1", container("web"))
    id = world.rollout()
    with ThreadPoolExecutor(1) as pool:
        with world.db.writing() as other:
            # As create_stop does, of which this is the middle.
            other.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": stops._LOOKING})
            going = pool.submit(tick.advance_rollout, world.db, id)
            waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            with world.db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as looking:
                while not looking.execute(text(waits)).scalar_one():
                    assert not going.done(), "it does not wait for who writes a stop"
                    time.sleep(0.01)
            freeze = {"id": new_id(), "kind": StopKind.FREEZE, "selector": {}, "digest": "", "reason": ""}
            freeze |= {"created_by": "x", "lifted_by": "", "created_at": world.db.now(), "begins_at": world.db.now()}
            other.execute(insert(stops_table), [freeze])
        advanced = going.result(60)
    assert advanced.offers == ()
    assert rows(world.db, commands) == []


def test_a_schedule_is_run_by_one_planner(world: World, clock: HeldClock) -> None:
    schedules.create_schedule(
        world.db, name="nightly", cron="0 3 * * *", zone="UTC", action=ScheduleAction.CHECK, selector=Selector(), **BY
    )
    clock.move(hours=24)
    claimed: list[str] = []

    def claim() -> None:
        claimed.extend(each.schedule.name for each in schedules.claim_due(world.db, clock.now()))

    _at_once(claim, claim, claim)
    assert claimed == ["nightly"]


def test_a_tag_is_checked_by_one(world: World, clock: HeldClock) -> None:
    leased: list[str] = []

    def lease() -> None:
        leased.extend(tags.lease(world.db, ["b", "a", "c"], clock.now(), 60))

    _at_once(lease, lease, lease)
    assert sorted(leased) == ["a", "b", "c"]


def test_a_plan_is_applied_once(world: World) -> None:
    world.add_host("web-1", container("web"))
    id = world.plan()
    applied: list[UUID] = []
    refused: list[str] = []

    def apply() -> None:
        try:
            applied.append(plans.apply_plan(world.db, id, **BY))
        except Refused as error:
            refused.append(str(error))

    _at_once(apply, apply, apply)
    assert (len(applied), len(refused)) == (1, 2)
    assert refused[0] == "cannot apply this plan: it was applied already, as rollout #1"


def _apply(world: World, id: UUID) -> None:
    plans.apply_plan(world.db, id, **BY)


def test_rollouts_made_at_once_have_numbers_of_their_own(world: World) -> None:
    world.add_host("web-1", container("web"))
    ids = [world.plan() for _ in range(4)]
    _at_once(*[partial(_apply, world, id) for id in ids])
    assert sorted(row.number for row in queries.rollouts(world.db).items) == [1, 2, 3, 4]
    assert tick.active_rollouts(world.db)


@pytest.mark.postgresql
@pytest.mark.parametrize("db", ["postgresql"], indirect=True)
@pytest.mark.parametrize("held", [commands, rollouts])
def test_a_planner_finds_work_behind_what_another_has_in_hand(world: World, clock: HeldClock, held: Table) -> None:
    """The first of what is due may be locked by somebody: itself, or its rollout."""
    for name in ("web-1", "web-2"):
        world.add_host(name, container("web"))
        world.rollout(name)
    tick.put_back(world.db, world.advance_all())
    clock.move(seconds=31)
    first, second = rows(world.db, commands)
    id = first["id"] if held is commands else first["rollout_id"]
    with world.db.writing() as other:
        other.execute(select(held).where(held.c.id == id).with_for_update())
        (found,) = tick.due_messages(world.db, limit=1)
    assert found.host_id == second["host_id"].hex
