"""Who gave wrong bytes is known for a day, however its pulls ended."""

from uuid import UUID

from fleet.history.mirrors.liars import Liar, liars
from fleet.mirrors.attempt import Attempt, AttemptResult
from fleet.mirrors.source import Role
from fleet.road.messages import Order
from fleet.updates.outcome import PullOutcome, Tier
from tests.history.conftest import HeldClock
from tests.history.world import World, container

LIAR, GOOD = "http://liar.lan", "http://good.lan"


def pull(order: Order, pull_id: UUID) -> PullOutcome:
    """Return a pull that a mirror gave wrong bytes to before another one served it."""
    wrong = Attempt(source=LIAR, role=Role.MIRROR, result=AttemptResult.WRONG_BYTES, failures=1)
    dead = Attempt(source="http://dead.lan", role=Role.MIRROR, result=AttemptResult.UNREACHABLE, failures=1)
    right = Attempt(source=GOOD, role=Role.MIRROR, result=AttemptResult.SERVED, bytes=9, duration_ms=1, verified=True)
    return PullOutcome(
        pull_id=pull_id,
        reference=order.targets[0].reference,
        digest=order.targets[0].digest,
        ok=True,
        tier=Tier.LOOPBACK,
        bytes=9,
        duration_ms=1,
        attempts=(wrong, dead, right),
    )


def test_a_liar_is_known_with_whom_it_lied_to(world: World, clock: HeldClock) -> None:
    for name in ("web-2", "web-1"):
        world.add_host(name, container(name)).pulling = pull
    assert liars(world.db, world.db.now()) == []
    world.rollout()
    world.run()
    assert liars(world.db, world.db.now()) == [Liar(mirror=LIAR, pulls=2, host="web-1", more_hosts=True)]
    clock.move(days=2)
    assert liars(world.db, world.db.now()) == [], "it may be repaired"
