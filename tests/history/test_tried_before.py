"""What came of a release where it was tried before, by which the clock leaves it to people."""

from sqlalchemy import update

from fleet.history.rollouts import people
from fleet.history.rollouts.tried_before import TriedBefore, tried_before
from fleet.history.tables.rollouts import rollouts
from fleet.rollouts.spec import Gate, OnFailure, RolloutSpec, WaveSpec
from fleet.updates.outcome import Result
from tests.history.conftest import HeldClock
from tests.history.world import BY, Agent, World, container, digest_of

IMAGE = "docker.io/library/nginx:1.27"
NEW = digest_of("nginx:1.27 new")
IN_WAVES = RolloutSpec(
    waves=(
        WaveSpec(size=1, gate=Gate(), on_failure=OnFailure.ROLLBACK),
        WaveSpec(gate=Gate(), approval=True),
    )
)


def hosts_of(world: World, count: int) -> list[Agent]:
    """Add hosts with one container each."""
    return [world.add_host(f"web-{n}", container("web")) for n in range(count)]


def tried(world: World, digest: str = NEW, *, with_under_way: bool = True) -> TriedBefore:
    """Return what came of a digest."""
    return tried_before(world.db, [(IMAGE, digest)], with_under_way=with_under_way)


def why(world: World, agent: Agent, digest: str = NEW) -> str:
    """Return why a digest is not brought to a host's container by the clock."""
    return tried(world, digest).why(agent.id.hex, "web", IMAGE, digest)


def test_of_what_was_never_tried_nothing_is_said(world: World) -> None:
    (agent,) = hosts_of(world, 1)
    assert why(world, agent) == ""
    assert tried_before(world.db, [], with_under_way=True) == TriedBefore()


def test_what_was_rolled_back_on_one_container_speaks_against_that_one_until_it_went_well(world: World) -> None:
    one, other = hosts_of(world, 2)
    one.result = Result.ROLLED_BACK
    world.rollout()
    world.run()
    assert why(world, one) == "rollout #1 brought it here, where it was rolled back"
    assert why(world, other) == ""
    assert why(world, one, digest_of("nginx:1.27 newer")) == ""
    assert tried(world).why(one.id.hex, "database", IMAGE, NEW) == ""
    one.result = Result.UPDATED
    world.rollout("web-0")
    world.run()
    assert why(world, one) == ""


def test_a_container_that_never_noticed_is_tried_again(world: World) -> None:
    (agent,) = hosts_of(world, 1)
    agent.result = Result.FAILED
    world.rollout()
    world.run()
    assert why(world, agent) == ""


def test_what_a_container_was_brought_back_from_speaks_against_it(world: World) -> None:
    (agent,) = hosts_of(world, 1)
    id = world.rollout()
    world.run()
    assert people.undo_rollout(world.db, id, **BY) is not None
    world.run()
    assert why(world, agent) == "rollout #2 brought this container back from it"


def test_a_tag_that_has_an_older_digest_again_is_no_way_back(world: World) -> None:
    (agent,) = hosts_of(world, 1)
    for version in ("new", "newer"):
        world.rollout(version=version)
        world.run()
    assert why(world, agent) == ""


def test_a_rollout_that_went_back_speaks_against_its_release_everywhere_until_it_came_well(world: World) -> None:
    agents = hosts_of(world, 3)
    outside = world.add_host("elm", container("web"))
    for agent in agents:
        agent.result = Result.ROLLED_BACK
    world.rollout("web-0", "web-1", "web-2", spec=IN_WAVES)
    world.run()
    assert sorted(why(world, agent) for agent in agents) == [
        "rollout #1 brought it here, where it was rolled back",
        *["rollout #1 brought it, and went back"] * 2,
    ]
    assert why(world, outside) == "rollout #1 brought it, and went back"
    world.rollout("elm")
    world.run()
    assert sum(1 for agent in agents if why(world, agent)) == 1


def test_an_aborted_rollout_speaks_against_its_release_on_its_own_hosts(world: World) -> None:
    agents = hosts_of(world, 3)
    outside = world.add_host("elm", container("web"))
    id = world.rollout("web-0", "web-1", "web-2", spec=IN_WAVES)
    world.run()
    people.abort_rollout(world.db, id, **BY)
    world.run()
    assert {why(world, agent) for agent in agents} == {"rollout #1, which was to bring it, was aborted"}
    assert why(world, outside) == ""


def test_what_goes_in_waves_is_brought_by_its_rollout_to_all_of_its_hosts(world: World) -> None:
    """Or else each night would take over from what waits for an approval, and begin with another first host."""
    agents = hosts_of(world, 3)
    for agent in agents:
        agent.result = Result.FAILED
    lenient = WaveSpec(size=1, gate=Gate(success_pct=0, tolerance_pct=100, min_successes=0))
    spec = RolloutSpec(waves=(lenient, WaveSpec(gate=Gate(), approval=True)))
    outside = world.add_host("elm", container("web"))
    id = world.rollout("web-0", "web-1", "web-2", spec=spec)
    world.run()
    assert {why(world, agent) for agent in agents} == {"rollout #1 brings it, and is held: approval"}
    assert why(world, outside) == ""
    assert tried(world, with_under_way=False) == TriedBefore()
    with world.db.writing() as connection:
        connection.execute(update(rollouts).where(rollouts.c.id == id).values(way_back_of=id))
    assert why(world, agents[0]) == ""


def test_what_goes_at_once_is_brought_by_its_rollout_to_those_that_wait(world: World, clock: HeldClock) -> None:
    done, silent = hosts_of(world, 2)
    done.result = Result.FAILED
    clock.move(minutes=20)
    world.take(done, world.heartbeat())
    world.rollout()
    world.run()
    assert why(world, silent) == "rollout #1 brings it"
    assert why(world, done) == ""
