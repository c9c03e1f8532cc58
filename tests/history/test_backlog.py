"""Hosts come back after a week with all that they have to tell: twice and thrice, in no order, and with garbage between."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest

from fleet.history.inbox.garbage import garbage
from fleet.history.inbox.taking import Bad, Good, Taken, TakeResult
from fleet.history.questions import queries
from fleet.history.questions.language import Query
from fleet.history.sql.pages import PageRequest
from fleet.history.tables.facts import pulls, updates
from fleet.history.tables.road import outbox, refused
from fleet.ids import new_id
from fleet.road.messages import Go, Outcome, Progress, Ready
from fleet.updates.outcome import Result
from tests.history.conftest import HeldClock
from tests.history.world import Agent, World, container, rows

HOSTS, CONTAINERS = 4, 12
GARBAGE = ("cannot read this message: it is no signed message", "cannot trust this message: no host has its key")


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_outcome_stands_once_and_garbage_is_kept_with_its_reason(
    world: World, clock: HeldClock, seed: int
) -> None:
    random = Random(seed)
    agents = _away(world, clock)
    outcomes = [(agent, outcome) for agent in agents for outcome in agent.outcomes.values()]
    assert len(outcomes) == HOSTS * CONTAINERS
    made_up = [(agent, _made_up(outcome)) for agent, outcome in random.sample(outcomes, 5)]
    bad = [Bad(raw=random.randbytes(random.randrange(9000)), reason=random.choice(GARBAGE)) for _ in range(30)]
    told: list[Taken] = [*bad, *(world.good(agent, message) for agent, message in made_up)]
    for agent, outcome in outcomes:
        told += [world.good(agent, outcome)] * random.choice((1, 2)) + [world.good(agent, outcome)] * random.choice(
            (0, 1)
        )
        told += [world.good(agent, message) for message in _stale(agent, outcome)]
    random.shuffle(told)
    result = _feed(world, random, told)
    assert result.refused == len(bad) + len(made_up)
    wanted = {outcome.outcome.update_id: (agent.id, outcome.outcome.container) for agent, outcome in outcomes}
    assert {row["id"]: (row["host_id"], row["container"]) for row in rows(world.db, updates)} == wanted
    assert len(rows(world.db, pulls)) == HOSTS
    _check_kept(world, bad)
    _check_receipts(world, {*wanted, *(outcome.outcome.update_id for _, outcome in made_up)})
    good = [each for each in told if isinstance(each, Good)]
    again = _feed(world, random, good)
    assert (again.taken, again.refused, again.repeated) == (len(good) - len(made_up), len(made_up), len(good))
    found = queries.outcomes(world.db, Query(), PageRequest(limit=1000)).items
    assert len(rows(world.db, updates)) == len(found) == len(wanted)


def _away(world: World, clock: HeldClock) -> list[Agent]:
    """Let every host have its go, carry it out, and be silent for a week: the centre gives its commands up."""
    agents = [
        world.add_host(f"web-{host}", *(container(f"app-{number}") for number in range(CONTAINERS)))
        for host in range(HOSTS)
    ]
    world.rollout()
    gone = world.until(Go)
    for each in gone:
        world.agents[each.host_id].hear(each.message)
    for _ in range(8):
        for each in world.tick():
            world.agents[each.host_id].hear(each.message)
    for _ in range(7):
        clock.move(days=1)
        world.tick()
    return agents


def _made_up(outcome: Outcome) -> Outcome:
    """Return an outcome that no order named."""
    return outcome.model_copy(update={"outcome": replace(outcome.outcome, update_id=new_id(), result=Result.FAILED)})


def _stale(agent: Agent, outcome: Outcome) -> list[Ready | Progress]:
    """Return what was said before the outcome, and comes after it now."""
    (order,) = [order for order in agent.orders.values() if order.command == outcome.command]
    ready = Ready(command=order.command, pulls=tuple(agent.pull(order, id) for id in order.pull_ids.values()))
    return [ready, Progress(command=order.command, phase="verify")]


def _feed(world: World, random: Random, told: Sequence[Taken]) -> TakeResult:
    """Let the inbox take all in batches; now and then it ends between its commit and its trim, and takes one again."""
    whole = TakeResult(taken=0, refused=0)
    at = 0
    while at < len(told):
        batch = told[at : at + random.randrange(1, 40)]
        at += len(batch)
        whole += world.take_all(batch)
        if random.random() < 0.2:
            world.take_all([each for each in batch if isinstance(each, Good) and _stands(world, each)])
    return whole


def _stands(world: World, taken: Good) -> bool:
    there = {row["id"] for row in rows(world.db, updates)}
    return not isinstance(taken.message, Outcome) or taken.message.outcome.update_id in there


def _check_kept(world: World, bad: list[Bad]) -> None:
    kept = Counter((bytes(row["raw"]), row["reason"]) for row in rows(world.db, refused) if row["host_id"] is None)
    assert kept == Counter((each.raw[:4096], each.reason) for each in bad)
    shown = garbage(world.db, PageRequest(limit=1000)).items
    assert len(shown) == len(rows(world.db, refused))
    assert all(row.reason.startswith("cannot ") for row in shown)


def _check_receipts(world: World, ids: set[object]) -> None:
    """Every outcome is confirmed, also one that was refused: its host would repeat it for ever."""
    receipts = [row["body"] for row in rows(world.db, outbox) if row["body"]["kind"] == "receipt"]
    assert {id for body in receipts for id in body["ids"]} == {str(id) for id in ids}
