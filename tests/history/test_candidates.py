"""Of a large wave in which most hosts may not go a tick looks at some, and the ticks after it at the others."""

from typing import Any

import pytest

from fleet.history.inventory import hosts
from fleet.history.rollouts import candidates, caps, tick
from fleet.history.rules import stops
from fleet.rollouts.selector import Selector
from fleet.rollouts.spec import RolloutSpec
from fleet.rollouts.stops import StopKind
from tests.history.test_own_windows import named
from tests.history.test_waves import fleet
from tests.history.world import BY, World


@pytest.fixture(autouse=True)
def two_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let two hosts be many."""
    monkeypatch.setattr(candidates, "LOOKED_AT", 2)
    monkeypatch.setattr(candidates, "AT_ONCE", 2)


def test_who_may_go_is_found_behind_those_that_may_not_within_some_ticks(world: World) -> None:
    agents = fleet(world, 9)
    for agent in agents[:8]:
        hosts.label_host(world.db, agent.name, labels={"site": "frozen"}, **BY)
    freeze = stops.create_stop(world.db, StopKind.FREEZE, Selector(labels={"site": "frozen"}), **BY)
    world.rollout(spec=RolloutSpec(max_parallel=9))
    for _ in range(5):
        world.run()
    assert named(agents) == ["web-9"]
    stops.lift_stop(world.db, freeze.id, **BY)
    for _ in range(5):
        world.run()
    assert len(named(agents)) == 9, "behind the last comes the first"


def test_all_that_may_go_are_dispatched_in_one_tick_however_few_are_looked_at_at_once(world: World) -> None:
    fleet(world, 9)
    world.rollout(spec=RolloutSpec(max_parallel=7))
    assert len(world.advance_all()) == 7


def test_a_freeze_comes_between_the_transactions_of_one_tick(world: World) -> None:
    """It waits for the end of one of them, and not until all hosts of a large wave are dispatched."""
    agents = fleet(world, 5)
    id = world.rollout(spec=RolloutSpec(max_parallel=5))
    offers = list(tick.advance_rollout(world.db, id).offers)
    while len(offers) < 2:
        offers += tick.advance_rollout(world.db, id).offers
    assert len(offers) == 2
    stops.create_stop(world.db, StopKind.FREEZE, Selector(), **BY)
    again = tick.advance_rollout(world.db, id)
    assert (again.changed, again.offers) == (False, ())
    assert not named(agents)


def test_hosts_are_not_counted_for_caps_while_nobody_may_go(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """That takes all of the fleet."""
    fleet(world, 3, site="a")
    caps.set_cap(world.db, "site", "1", **BY)
    freeze = stops.create_stop(world.db, StopKind.FREEZE, Selector(), **BY)
    world.rollout()
    counted: list[Any] = []
    real = caps.caps_of

    def count(*given: Any) -> Any:
        counted.append(given)
        return real(*given)

    monkeypatch.setattr(candidates, "caps_of", count)
    world.advance_all()
    assert not counted
    stops.lift_stop(world.db, freeze.id, **BY)
    assert len(world.advance_all()) == 1
    assert counted
