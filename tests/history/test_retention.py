"""What is too old goes, what is not stays, and the history proper stays for ever."""

import pytest

from fleet.history.inbox.taking import Bad
from fleet.history.mirrors import probes
from fleet.history.questions import queries
from fleet.history.questions.queries import OutcomeFilter
from fleet.history.registries import tags
from fleet.history.tables.facts import attempts, pulls, updates
from fleet.history.tables.road import messages, progress, refused
from fleet.history.upkeep import retention
from fleet.road.messages import Order, Progress, Snapshot
from tests.history.conftest import HeldClock
from tests.history.world import World, container, rows


def test_only_what_is_too_old_goes(world: World, clock: HeldClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "CHUNK", 2)
    agent = world.add_host("web-1", container("web"))
    world.plan()
    tags.ask_host(world.db, "docker.io/library/nginx:1.27")
    world.take_all([Bad(raw=b"x", reason="garbage")] * 3)
    world.rollout()
    sent = world.until(Order)
    (order,) = [each.message for each in sent if isinstance(each.message, Order)]
    world.take(agent, Progress(command=order.command, phase="pull"))
    assert retention.prune(world.db) == {}
    world.deliver(sent)
    world.run()
    # Ids of facts are made by this machine's clock, not by the one that the test holds.
    clock.move(days=9)
    gone = retention.prune(world.db)
    assert set(gone) == {"messages", "progress", "resolves"}
    clock.move(days=23)
    assert retention.prune(world.db) == {"refused": 3, "plans": 2, "events": 2}
    clock.move(days=3650)
    assert retention.prune(world.db) == {"attempts": 2}
    for table in (messages, refused, progress, attempts):
        assert rows(world.db, table) == []
    assert len(rows(world.db, updates)) == len(rows(world.db, pulls)) == 1
    (row,) = queries.outcomes(world.db, OutcomeFilter()).items
    detail = queries.outcome(world.db, row.id)
    assert detail.pull is not None
    assert detail.pull.attempts == ()


def test_looks_at_mirrors_that_were_asked_for_go_with_what_came_of_them(world: World, clock: HeldClock) -> None:
    agent = world.add_host("web-1", container("web"))
    probes.ask_probes(world.db, [agent.id], by=probes.SCHEDULE)
    clock.move(days=29)
    assert "mirror_tests" not in retention.prune(world.db)
    clock.move(days=2)
    assert retention.prune(world.db) == {"mirror_tests": 1}


@pytest.mark.parametrize(("days", "gone"), [(6, {}), (8, {"snapshot_parts": 1})])
def test_a_part_of_a_snapshot_waits_a_week_for_the_others(
    world: World, clock: HeldClock, days: int, gone: dict[str, int]
) -> None:
    agent = world.add_host("web-1", container("web"))
    world.take(agent, Snapshot(hash="new", part=0, parts=2, containers=()))
    clock.move(days=days)
    assert {table: n for table, n in retention.prune(world.db).items() if table == "snapshot_parts"} == gone
