"""What went back to what ran before is told apart from what brought something newer."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import update

from fleet.errors import Refused
from fleet.history.inventory import hosts
from fleet.history.questions import queries
from fleet.history.questions.outcome_filter import OutcomeFilter
from fleet.history.questions.queries import outcomes
from fleet.history.rollouts import people, plans
from fleet.history.tables.rollouts import rollouts
from fleet.rollouts.plan import PlannedHosts
from fleet.rollouts.spec import Gate, RolloutSpec, WaveSpec
from fleet.rollouts.states import RolloutState
from fleet.rollouts.windows import Freeze, Window
from tests.history.conftest import HeldClock
from tests.history.world import BY, World, container, rows, snapshot


def test_the_outcomes_of_an_undone_rollout_and_of_a_container_that_was_brought_back_say_so(world: World) -> None:
    world.add_host("web-1", container("web"))
    id = world.rollout()
    world.run()
    assert people.undo_rollout(world.db, id, **BY) is not None
    world.run()
    planned = plans.plan(world.db, world.plan(version="older"))
    (host,) = planned.document.hosts
    back = replace(host, containers=tuple(replace(each, back=True) for each in host.containers))
    document = replace(planned.document, hosts=PlannedHosts.of([back]))
    plans.apply_plan(world.db, plans.save_plan(world.db, selector=planned.selector, document=document, by="a").id, **BY)
    world.run()
    found = outcomes(world.db, OutcomeFilter()).items
    assert [row.back for row in found] == [True, True, False]
    with world.db.writing() as connection:  # as an earlier release wrote them
        connection.execute(update(rollouts).values(back=None))
    found = outcomes(world.db, OutcomeFilter()).items
    assert [row.back for row in found] == [True, True, False]


def test_a_way_back_waits_for_no_window_and_no_gate_and_for_every_freeze(world: World, clock: HeldClock) -> None:
    """What is broken is not left so until the night; but nothing is touched in a freeze, be it only this rollout's."""
    world.add_host("web-1", container("web"))
    freeze = Freeze(begins_at=clock.now() + timedelta(days=1), ends_at=clock.now() + timedelta(days=2))
    all_day = Window(start="00:00", duration_ms=86_400_000)
    id = world.rollout(spec=RolloutSpec(waves=(WaveSpec(gate=Gate()),), windows=(all_day,), freezes=(freeze,)))
    world.run()
    way = people.undo_rollout(world.db, id, **BY)
    assert way is not None
    (row,) = [row for row in rows(world.db, rollouts) if row["id"] == way]
    spec = RolloutSpec.parse(row["spec"])
    assert (spec.windows, spec.freezes, [wave.gate for wave in spec.waves]) == ((), (freeze,), [None])
    world.run()
    assert queries.rollout(world.db, way).rollout.state is RolloutState.COMPLETED


def test_a_way_back_is_of_hosts_that_there_are_and_of_what_runs_the_new_digest_still(world: World) -> None:
    """Whoever recreates a container by hand, from the same image, takes nobody's way back."""
    agents = [world.add_host(name, container("web")) for name in ("web-1", "web-2", "web-3")]
    id = world.rollout()
    world.run()
    by_hand = replace(container("web", version="new"), id="f" * 64)
    for agent, now in zip(agents, (by_hand, container("web", version="another")), strict=False):
        world.take(agent, snapshot(now), world.heartbeat(snapshot(now).hash))
    hosts.remove_host(world.db, "web-3", **BY)
    way = people.undo_rollout(world.db, id, **BY)
    assert way is not None
    (row,) = queries.rollout(world.db, way).hosts
    assert (row.host, [target["container_id"] for target in row.targets]) == ("web-1", ["f" * 64])


def test_some_hosts_alone_are_brought_back_and_the_rest_by_another_way_back(world: World) -> None:
    """Nobody is told that the others were forgotten, since nobody wanted them back."""
    agents = [world.add_host(f"web-{n}", container("app")) for n in range(3)]
    id = world.rollout()
    with pytest.raises(Refused, match="goes on; stop it before: fleet rollout abort 1"):
        people.undo_rollout(world.db, id, only={agents[0].id}, **BY)
    world.run()
    way = people.undo_rollout(world.db, id, only={agents[0].id}, **BY)
    assert way is not None
    with pytest.raises(Refused, match="rollout #2 does so already"):
        people.undo_rollout(world.db, id, **BY)
    world.run()
    assert [host.host for host in queries.rollout(world.db, way).hosts] == ["web-0"]
    assert people.not_brought_back(world.db, id) == []
    with pytest.raises(Refused, match="it updated nothing there that can be brought back"):
        people.undo_rollout(world.db, id, only={agents[0].id}, **BY)
    rest = people.undo_rollout(world.db, id, **BY)
    assert rest is not None
    world.run()
    assert {host.host for host in queries.rollout(world.db, rest).hosts} == {"web-1", "web-2"}
    assert [len(agent.recreated) for agent in agents] == [2, 2, 2]
