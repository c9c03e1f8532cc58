"""What went back to what ran before is told apart from what brought something newer."""

from dataclasses import replace

from fleet.history import plans
from fleet.history import rollouts as people
from fleet.history.outcome_filter import OutcomeFilter
from fleet.history.queries import outcomes
from tests.history.world import BY, World, container


def test_the_outcomes_of_an_undone_rollout_and_of_a_container_that_was_brought_back_say_so(world: World) -> None:
    world.add_host("web-1", container("web"))
    id = world.rollout()
    world.run()
    assert people.undo_rollout(world.db, id, **BY) is not None
    world.run()
    planned = plans.plan(world.db, world.plan(version="older"))
    (host,) = planned.document.hosts
    back = replace(host, containers=tuple(replace(each, back=True) for each in host.containers))
    document = replace(planned.document, hosts=(back,))
    plans.apply_plan(world.db, plans.save_plan(world.db, selector=planned.selector, document=document, by="a").id, **BY)
    world.run()
    found = outcomes(world.db, OutcomeFilter()).items
    assert [row.back for row in found] == [True, True, False]
