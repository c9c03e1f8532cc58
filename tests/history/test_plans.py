"""A plan becomes one rollout, and only while the world is as it saw it."""

from dataclasses import replace
from uuid import UUID

import pytest

from fleet.errors import NotFound, Refused
from fleet.history.inventory import hosts
from fleet.history.questions import queries
from fleet.history.registries import tags
from fleet.history.rollouts import plans
from fleet.history.rules import policies
from fleet.history.sql.database import Database
from fleet.history.tables.rollouts import rollouts as rollouts_table
from fleet.history.tables.words import PolicyKind
from fleet.ids import new_id, short
from fleet.rollouts.plan import PlanDocument
from fleet.rollouts.selector import Selector
from fleet.rollouts.spec import RolloutSpec
from fleet.rollouts.states import HostState, RolloutState
from tests.history.conftest import HeldClock
from tests.history.world import BY, World, container, digest_of, rows, snapshot


def _refused(world: World, id: UUID) -> str:
    with pytest.raises(Refused) as error:
        plans.apply_plan(world.db, id, **BY)
    assert rows(world.db, rollouts_table) == []
    return str(error.value)


def test_a_plan_becomes_a_rollout_with_its_digests_pinned(world: World) -> None:
    world.add_host("web-1", container("web"))
    world.add_host("web-2", container("web"), heard=True)
    id = world.plan()
    spec = RolloutSpec(max_parallel=3)
    rollout_id = plans.apply_plan(world.db, short(id), spec=spec, reason="patch day", **BY)
    found = queries.rollout(world.db, rollout_id)
    assert (found.rollout.state, found.rollout.spec, found.rollout.reason) == (RolloutState.PLANNED, spec, "patch day")
    assert found.rollout.plan_id == id
    assert [host.state for host in found.hosts] == [HostState.PENDING] * 2
    assert {host.targets[0]["digest"] for host in found.hosts} == {digest_of("nginx:1.27 new")}
    assert plans.plan(world.db, id).rollout_id == rollout_id


def test_a_plan_is_read_back_as_it_was_saved(world: World) -> None:
    world.add_host("web-1", container("web"))
    row = plans.plan(world.db, world.plan())
    again = plans.save_plan(world.db, selector=Selector(hosts=("web-*",)), document=row.document, by="person:bert")
    assert plans.plan(world.db, again.id) == again
    assert (again.document, again.selector.hosts) == (row.document, ("web-*",))
    with pytest.raises(NotFound):
        plans.plan(world.db, new_id())


def test_a_plan_is_too_old_after_a_day(world: World, clock: HeldClock) -> None:
    world.add_host("web-1", container("web"))
    id = world.plan()
    clock.move(hours=24)
    assert "24 hours" in _refused(world, id)


def test_a_moved_tag_makes_a_plan_stale(world: World) -> None:
    world.add_host("web-1", container("web"))
    id = world.plan()
    tags.record_failed(world.db, "docker.io/library/nginx:1.27", "cannot reach it")
    tags.record_resolved(world.db, "docker.io/library/nginx:1.27", digest_of("newer"), "https://x")
    assert "docker.io/library/nginx:1.27 has another digest now" in _refused(world, id)


def test_another_container_or_image_makes_a_plan_stale(world: World) -> None:
    agent = world.add_host("web-1", container("web"))
    id = world.plan()
    world.take(agent, snapshot(container("web", version="other")))
    assert "web on web-1 is another container now" in _refused(world, id)
    world.take(agent, snapshot(replace(container("web"), image_id="sha256:other")))
    assert "web on web-1 runs another image now" in _refused(world, id)
    world.take(agent, snapshot())
    assert "web on web-1 is gone" in _refused(world, id)
    world.take(agent, snapshot(container("web")))
    plans.apply_plan(world.db, id, **BY)


def test_another_policy_makes_a_plan_stale_where_it_holds(world: World) -> None:
    world.add_host("web-1", container("web"))
    world.add_host("web-2", container("web"))
    first, second = world.plan("web-1"), world.plan("web-2")
    policies.set_policy(world.db, PolicyKind.HOST, "web-1", {"remove_old_image": True}, **BY)
    assert "the policy of web-1 changed" in _refused(world, first)
    plans.apply_plan(world.db, second, **BY)


def test_a_removed_host_makes_a_plan_stale(world: World) -> None:
    world.add_host("web-1", container("web"))
    id = world.plan()
    hosts.remove_host(world.db, "web-1", **BY)
    assert "the host web-1 was removed" in _refused(world, id)


def test_many_that_moved_are_counted(world: World) -> None:
    agent = world.add_host("web-1", *[container(f"c{number}") for number in range(8)])
    id = world.plan()
    world.take(agent, snapshot())
    assert "and 3 more" in _refused(world, id)


def test_a_plan_with_nothing_in_it_is_not_applied(db: Database) -> None:
    row = plans.save_plan(db, selector=Selector(), document=PlanDocument(), by="person:anna")
    with pytest.raises(Refused, match="nothing to update"):
        plans.apply_plan(db, row.id, **BY)


def test_rollouts_are_found_by_number_and_short_id_and_listed_newest_first(world: World) -> None:
    world.add_host("web-1", container("web"))
    ids = [world.rollout() for _ in range(3)]
    assert [row.id for row in queries.rollouts(world.db).items] == ids[::-1]
    for wanted in (2, "2", "#2", ids[1], str(ids[1]), short(ids[1])):
        assert queries.rollout(world.db, wanted).rollout.id == ids[1]
    for wanted in (9, "9", "#x", new_id(), "99999999999999999999"):
        with pytest.raises(NotFound):
            queries.rollout(world.db, wanted)
