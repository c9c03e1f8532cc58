"""How many hosts a percent cap counts is asked once, and again when it may have changed."""

from datetime import timedelta

from fleet.history.inventory import hosts
from fleet.history.rollouts import caps
from fleet.history.rollouts.caps import COUNTED_ANEW, KeptSizes
from tests.history.conftest import HeldClock
from tests.history.world import BY, World, container


def test_the_fleet_is_counted_again_after_an_act_and_once_a_minute_and_at_no_other_tick(
    world: World, clock: HeldClock
) -> None:
    """A rollout that waits for a percent cap alone reads all hosts of the fleet no more at each tick."""
    for number in range(4):
        hosts.label_host(world.db, world.add_host(f"web-{number}", container("web")).id, labels={"site": "a"}, **BY)
    caps.set_cap(world.db, "site", "50%", **BY)
    kept = KeptSizes()
    assert _counted(world, kept) == (False, 4)
    clock.move(seconds=5)
    assert _counted(world, kept) == (True, 4)
    hosts.label_host(world.db, "web-3", labels={"site": "b"}, **BY)
    assert _counted(world, kept) == (False, 3)
    hosts.remove_host(world.db, "web-2", **BY)
    assert _counted(world, kept) == (False, 2)
    assert _counted(world, kept) == (True, 2)
    clock.move(seconds=int(COUNTED_ANEW / timedelta(seconds=1)))
    assert _counted(world, kept) == (False, 2)


def _counted(world: World, kept: KeptSizes) -> tuple[bool, int]:
    """Tell whether the sizes were known, and how many hosts of one site there are."""
    sizes = kept.of(world.db)
    known = bool(sizes)
    with world.db.reading() as connection:
        caps.caps_of(connection, sizes)
    return known, sizes["site"]["a"]
