"""What one host tells of its containers, be it no platform or no digest, keeps no other host from its update."""

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


@pytest.mark.parametrize("odd", ["nonsense", "sha256:" + "g" * 64, "sha256:\x1b[31m", ""])
def test_a_digest_that_is_none_stops_no_dispatch(odd: str, world: World) -> None:
    world.add_host("honest", container("web"))
    world.add_host("odd", replace(container("web"), digests=(odd,)))
    world.rollout()
    sent = [each.message for each in world.until(Order) if isinstance(each.message, Order)]
    assert len(sent) == 2
    assert sorted(each.old_digest for message in sent for each in message.targets)[0] == ""


def test_a_reference_of_any_length_stops_no_dispatch(world: World) -> None:
    long = f"registry.example/{'/'.join(['x' * 60] * 4)}:{'t' * 128}"
    world.add_host("honest", container("web"))
    world.add_host("odd", replace(container("web"), reference=long))
    world.rollout()
    assert [each.message.command for each in world.until(Order) if isinstance(each.message, Order)]
