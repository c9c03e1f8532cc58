"""A host may say any number and any time: its own row may be wrong by that, and nothing that others need stops at it."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import update

from fleet.history.inbox import pulls as inbox_pulls
from fleet.history.mirrors import probes
from fleet.history.questions.mirror_report import mirror_report
from fleet.history.sql.amounts import EARLIEST, LATEST, MOST_BYTES, moment
from fleet.history.tables.days import days, mirror_days
from fleet.history.tables.facts import attempts
from fleet.history.upkeep import retention
from fleet.mirrors.attempt import Attempt, AttemptResult
from fleet.mirrors.probe import MirrorProbe, ProbeState
from fleet.mirrors.source import Role
from fleet.road.messages import Order, Probed, Progress, Ready
from fleet.updates.outcome import Phases
from tests.history.conftest import HeldClock
from tests.history.test_counting import ordered
from tests.history.world import GOOD_MIRROR, Agent, World, rows

HUGE = 2**63 - 1


def lying(agent: Agent, order: Order, number: int) -> Ready:
    """Return a ready whose every number is *number*."""
    tried = Attempt(
        source=GOOD_MIRROR,
        role=Role.MIRROR,
        result=AttemptResult.SERVED,
        status=number,
        bytes=number,
        requests=number,
        failures=number,
        first_byte_ms=number,
        duration_ms=number,
        resumed_at=(number,) * 5000,
    )
    (id,) = order.pull_ids.values()
    pull = replace(agent.pull(order, id), bytes=number, duration_ms=number, attempts=(tried,))
    return Ready(command=order.command, pulls=(pull,))


@pytest.mark.parametrize("number", [2**31, HUGE, 2**63, 10**30, -1, -(10**30)])
def test_no_number_costs_its_own_message(number: int, world: World) -> None:
    agent, order = ordered(world, "web-1")
    phases = dict.fromkeys(("pull_ms", "create_ms", "stop_ms", "start_ms", "verify_ms", "rollback_ms"), number)
    outcome = agent.outcome(order, order.targets[0].update_id)
    lie = replace(outcome.outcome, phases=Phases(**phases), downtime_ms=number)
    told = world.take(
        agent,
        Progress(command=order.command, phase="pull", bytes=number, total=number),
        lying(agent, order, number),
        outcome.model_copy(update={"outcome": lie}),
    )
    assert (told.taken, told.refused) == (3, 0)


def test_no_number_keeps_a_day_from_being_closed(world: World, clock: HeldClock) -> None:
    """A sum that no column holds would also keep everything old from ever being deleted."""
    for name in ("web-1", "web-2"):
        agent, order = ordered(world, name)
        world.take(agent, lying(agent, order, HUGE))
    (today,) = mirror_report(world.db, clock.at).days
    clock.move(days=2)
    retention.prune(world.db)
    (closed,) = rows(world.db, mirror_days)
    assert (today.bytes, closed["bytes"]) == (2 * MOST_BYTES,) * 2


def test_what_an_earlier_release_kept_keeps_no_day_from_being_closed(world: World, clock: HeldClock) -> None:
    for name in ("web-1", "web-2"):
        agent, order = ordered(world, name)
        world.take(agent, lying(agent, order, 1))
    with world.db.writing() as connection:
        connection.execute(update(attempts).values(bytes=HUGE, duration_ms=-HUGE, requests=2**31 - 1))
    clock.move(days=2)
    retention.prune(world.db)
    (closed,) = rows(world.db, mirror_days)
    assert (closed["bytes"], closed["duration_ms"], closed["requests"]) == (2 * MOST_BYTES, 0, 2**31 - 1)
    assert len(rows(world.db, days)) == 1


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2027-01-01T00:00:00"])
def test_no_time_costs_its_own_message(at: str, world: World) -> None:
    agent, order = ordered(world, "web-1")
    when = datetime.fromisoformat(at)
    asked = probes.ask_probes(world.db, [agent.id], by="person:anna")[agent.id]
    look = MirrorProbe(mirror="http://a.lan", registry="*", state=ProbeState.OK, tls_not_after=when)
    outcome = agent.outcome(order, order.targets[0].update_id)
    told = world.take(agent, Probed(request=asked, mirrors=(look,)), outcome.model_copy(update={"finished_at": when}))
    assert (told.taken, told.refused) == (2, 0)
    (kept,) = probes.latest_probes(world.db)
    assert kept.tls_not_after == moment(when)


def test_a_time_that_is_kept_is_one_in_every_zone() -> None:
    assert moment(datetime.max.replace(tzinfo=UTC)) == LATEST
    assert moment(datetime.min) == EARLIEST  # noqa: DTZ901
    for end in (EARLIEST, LATEST):
        assert end - timedelta(days=1) < end < end + timedelta(days=1)


def test_the_pulls_of_an_order_are_looked_up_once_for_all_that_a_host_tells_of_them(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host may have thousands, and tell of each in one message: to go through its order for each would take seconds."""
    agent, order = ordered(world, "web-1")
    looked: list[Any] = []
    real = inbox_pulls.wanted_pulls

    def looking(order: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
        looked.append(order)
        return real(order)

    monkeypatch.setattr(inbox_pulls, "wanted_pulls", looking)
    ready = lying(agent, order, 7)
    made_up = replace(ready.pulls[0], pull_id=uuid4())
    told = world.take(agent, ready, ready, ready.model_copy(update={"pulls": (*ready.pulls, made_up)}))
    assert (told.taken, told.refused, len(looked)) == (2, 1, 1)


def test_a_pull_that_is_told_many_times_is_taken_once(world: World) -> None:
    agent, order = ordered(world, "web-1")
    ready = lying(agent, order, 7)
    assert world.take(agent, ready.model_copy(update={"pulls": ready.pulls * 3000})).taken == 1
    assert [row["bytes"] for row in rows(world.db, attempts)] == [7]
