"""What an outcome counts as, and what one rollout's tick means for another."""

from dataclasses import replace

from sqlalchemy import event

from fleet.history.tables.facts import updates
from fleet.history.tables.rollouts import rollout_hosts, rollouts
from fleet.road.messages import Go, Outcome
from fleet.rollouts.spec import Gate, RolloutSpec, WaveSpec
from fleet.rollouts.states import HostState, RolloutState
from fleet.updates.outcome import Result
from tests.history.world import World, container, digest_of, rows


def test_a_success_of_another_digest_than_the_pinned_one_is_none(world: World) -> None:
    agent = world.add_host("web-1", container("web"))
    world.rollout()
    (sent,) = world.until(Go)
    (said,) = agent.hear(sent.message)
    assert isinstance(said, Outcome)
    other = digest_of("another")
    world.take(agent, said.model_copy(update={"outcome": replace(said.outcome, new_digest=other)}))
    (host,) = rows(world.db, rollout_hosts)
    assert host["state"] is HostState.FAILED
    assert host["reason"].startswith(f"cannot count it as a success: the host tells of {other}")
    (told,) = rows(world.db, updates)
    assert (told["result"], told["new_digest"]) == (Result.UPDATED, other), "the history has what the host said"


def test_an_outcome_asks_for_none_of_its_hosts_others_until_the_last_one_came(world: World) -> None:
    """Of a host with hundreds of containers, to read what each came to would be most of what an outcome costs."""
    agent = world.add_host("web-1", *(container(f"c-{number}") for number in range(5)))
    world.rollout()
    (sent,) = world.until(Go)
    said = [each for each in agent.hear(sent.message) if isinstance(each, Outcome)]
    asked: list[str] = []

    def note(*args: object) -> None:
        asked.append(repr(args[3]))

    event.listen(world.db.engine, "before_cursor_execute", note)
    world.take(agent, said[0])
    event.remove(world.db.engine, "before_cursor_execute", note)
    middle = said[2].outcome.update_id
    assert any(said[0].outcome.update_id.hex in each.replace("-", "") for each in asked)
    assert not any(middle.hex in each.replace("-", "") for each in asked)
    world.take(agent, *reversed(said[1:]))
    assert [row["state"] for row in rows(world.db, rollout_hosts)] == [HostState.SUCCEEDED]


def test_of_an_outcome_that_is_told_twice_the_first_decides(world: World) -> None:
    """Whatever else comes with it: what stands in the history is never written again."""
    agent = world.add_host("web-1", container("web"), container("api"))
    world.rollout()
    world.until(Go)
    (order,) = agent.orders.values()
    first, second = (each.update_id for each in order.targets)
    world.take(agent, agent.outcome(order, first, Result.UPDATED))
    again = [agent.outcome(order, id, result) for id in (first, second) for result in (Result.UPDATED, Result.FAILED)]
    world.take(agent, *again)
    assert {row["id"]: row["result"] for row in rows(world.db, updates)} == {
        first: Result.UPDATED,
        second: Result.UPDATED,
    }
    assert [row["state"] for row in rows(world.db, rollout_hosts)] == [HostState.SUCCEEDED]


def test_an_older_rollout_is_over_in_the_tick_in_which_the_newer_begins(world: World) -> None:
    world.add_host("web-1", container("web"))
    gated = RolloutSpec(waves=(WaveSpec(gate=Gate()),))
    world.rollout(spec=gated, version="a")
    world.rollout(spec=gated, version="b")
    world.advance_all()
    states = [row["state"] for row in sorted(rows(world.db, rollouts), key=lambda row: row["number"])]
    assert states == [RolloutState.SUPERSEDED, RolloutState.RUNNING]
