"""What one host tells of its images' platforms keeps no other host from its update."""

from dataclasses import replace

import pytest

from fleet.road.messages import Order
from tests.history.world import World, container


@pytest.mark.parametrize("odd", ["linux/a/b/c", "linux/", "linux/a\n\x1b[31m", "s390x"])
def test_a_platform_that_is_none_stops_no_dispatch(odd: str, world: World) -> None:
    world.add_host("honest", container("web"))
    world.add_host("odd", replace(container("web"), platform=odd))
    world.rollout()
    sent = [each.message for each in world.until(Order) if isinstance(each.message, Order)]
    assert [each.platform for message in sent for each in message.targets] == ["", ""]
