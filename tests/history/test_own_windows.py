"""Windows that policies give hosts: they bind every rollout but a way back, and who may go is not hidden by who may not."""

from datetime import timedelta

import pytest

from fleet.controller.spec_warnings import spec_warnings
from fleet.controller.windows_told import WindowsTold, windows_told
from fleet.errors import BadInput
from fleet.history.inventory import hosts
from fleet.history.rollouts import facts as rollout_facts
from fleet.history.rollouts.facts import facts_of
from fleet.history.rollouts.people import undo_rollout
from fleet.history.rules import policies
from fleet.history.tables.rollouts import rollouts
from fleet.history.tables.words import PolicyKind
from fleet.rollouts import deadline
from fleet.rollouts.selector import Selector
from fleet.rollouts.spec import Gate, OfflineSpec, RolloutSpec, WaveSpec
from fleet.rollouts.states import HostState
from fleet.rollouts.windows import Freeze, Window
from tests.history.conftest import HeldClock
from tests.history.test_waves import detail, fleet
from tests.history.world import BY, Agent, World

NIGHT = {"windows": [{"start": "22:00", "duration": "3h"}]}
NOW_OPEN = {"windows": [{"start": "11:00", "duration": "3h"}]}
ANY_TIME: dict[str, list[object]] = {"windows": []}


def write(world: World, kind: PolicyKind, subject: str, document: object) -> None:
    """Write a policy."""
    policies.set_policy(world.db, kind, subject, document, **BY)  # type: ignore[arg-type]


def named(agents: list[Agent]) -> list[str]:
    """Return the names of those that recreated anything."""
    return sorted(agent.name for agent in agents if agent.recreated)


def test_the_windows_of_the_fleet_of_a_label_and_of_a_host_bind_what_asks_for_none(
    world: World, clock: HeldClock
) -> None:
    agents = fleet(world, 4)
    hosts.label_host(world.db, "web-2", labels={"site": "day"}, **BY)
    hosts.label_host(world.db, "web-3", labels={"site": "day"}, **BY)
    write(world, PolicyKind.FLEET, "", NIGHT)
    write(world, PolicyKind.LABEL, "site=day", NOW_OPEN)
    write(world, PolicyKind.HOST, "web-3", NIGHT)
    write(world, PolicyKind.HOST, "web-4", ANY_TIME)
    id = world.rollout()
    world.run()
    assert named(agents) == ["web-2", "web-4"]
    waiting = {host.host: host.state for host in detail(world, id).hosts if not host.state.ended}
    assert waiting == {"web-1": HostState.PENDING, "web-3": HostState.PENDING}, "they take nobody's place meanwhile"
    clock.move(hours=10, minutes=1)
    for agent in agents:
        world.take(agent, world.heartbeat())
    world.run()
    assert named(agents) == ["web-1", "web-2", "web-3", "web-4"]


def test_both_the_rollouts_and_the_hosts_window_must_be_open(world: World, clock: HeldClock) -> None:
    (agent,) = fleet(world, 1)
    write(world, PolicyKind.FLEET, "", {"windows": [{"start": "11:00", "duration": "4h"}]})
    world.rollout(spec=RolloutSpec(windows=(Window(start="14:00", duration_ms=3 * 3_600_000),)))
    world.run()
    assert not agent.recreated
    clock.move(hours=2, minutes=5)
    world.take(agent, world.heartbeat())
    world.run()
    assert agent.recreated


def test_a_window_that_is_written_after_the_dispatch_holds_the_go_back(world: World, clock: HeldClock) -> None:
    (agent,) = fleet(world, 1)
    id = world.rollout()
    world.deliver(world.tick())
    write(world, PolicyKind.FLEET, "", NIGHT)
    world.run()
    assert not agent.recreated and detail(world, id).hosts[0].state is HostState.READY
    for _ in range(21):
        clock.move(minutes=30)
        world.take(agent, world.heartbeat(ready=list(agent.orders)))
        world.run()
    assert agent.recreated and detail(world, id).hosts[0].tries == 1


def test_a_way_back_waits_for_no_window_of_a_policy(world: World) -> None:
    agents = fleet(world, 2)
    id = world.rollout()
    world.run()
    write(world, PolicyKind.FLEET, "", NIGHT)
    assert undo_rollout(world.db, id, **BY)
    world.run()
    assert [len(agent.recreated) for agent in agents] == [2, 2]


def test_hosts_that_may_go_are_found_behind_many_that_may_not(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """More wait in the night of another zone, under a freeze, or by their policy than a tick looks at; one may go."""
    agents = fleet(world, 13)
    shut = ({"timezone": "Asia/Tokyo"}, {"site": "frozen"}, {"site": "own"})
    for n, agent in enumerate(agents[:-1]):
        hosts.label_host(world.db, agent.name, labels=shut[n % 3], **BY)
    write(world, PolicyKind.LABEL, "site=own", NIGHT)
    clock = world.db.now()
    freeze = Freeze(
        begins_at=clock - timedelta(hours=1),
        ends_at=clock + timedelta(days=1),
        selector=Selector(labels={"site": "frozen"}),
    )
    noon = Window(start="11:00", duration_ms=3 * 3_600_000, zone="host")
    monkeypatch.setattr(rollout_facts, "_LEAST_NEXT", 1)
    world.rollout(spec=RolloutSpec(windows=(noon,), freezes=(freeze,), max_parallel=1))
    world.run()
    assert named(agents) == ["web-13"]


def test_only_time_in_which_a_window_of_some_host_is_open_counts_for_the_deadline(
    world: World, clock: HeldClock
) -> None:
    fleet(world, 2)
    write(world, PolicyKind.FLEET, "", NIGHT)
    world.rollout(spec=RolloutSpec(waves=(WaveSpec(gate=Gate(), deadline_ms=3_600_000),)))
    world.advance_all()
    clock.move(hours=9)
    with world.db.reading() as connection:
        row = connection.execute(rollouts.select()).mappings().one()
        facts = facts_of(connection, row, clock.now())
    assert not deadline.overdue(facts, facts.waves[0], clock.now())
    clock.move(hours=3)
    assert deadline.overdue(facts, facts.waves[0], clock.now())


def test_who_waits_is_told_when_the_next_window_opens_and_which_are_over(world: World, clock: HeldClock) -> None:
    agents = fleet(world, 3)
    write(world, PolicyKind.FLEET, "", NIGHT)
    write(world, PolicyKind.HOST, "web-3", ANY_TIME)
    id = world.rollout(spec=RolloutSpec(offline=OfflineSpec(park=True)))
    world.run()
    told = windows_told(world.db, detail(world, id))
    assert told.words == "no window is open to any host that waits: the next is at 2026-11-25 22:00 UTC"
    assert not told.missed
    for hours in (10.1, 2.8):
        clock.move(hours=hours)
        world.take(agents[0], world.heartbeat())
        world.run()
        if hours > 3:
            assert windows_told(world.db, detail(world, id)) == WindowsTold(), "one that is open is not missed"
    assert named(agents) == ["web-1", "web-3"], "web-2 is silent"
    told = windows_told(world.db, detail(world, id))
    assert told.words == (
        "no window is open to any host that waits: the next is at 2026-11-26 22:00 UTC; web-2 missed 1 window"
    )
    clock.move(hours=24)
    assert windows_told(world.db, detail(world, id)).missed == {agents[1].id: 2}
    clock.move(hours=22)
    world.take(agents[1], world.heartbeat())
    world.run()
    assert windows_told(world.db, detail(world, id)) == WindowsTold()


def test_a_host_that_no_window_of_its_policy_admits_is_warned_about(world: World) -> None:
    fleet(world, 2)
    write(world, PolicyKind.HOST, "web-1", {"windows": [{"start": "22:00", "duration": "10m"}]})
    ids = [row.id for row in hosts.hosts(world.db)]
    (warning,) = spec_warnings(world.db, RolloutSpec(), ids)
    assert warning.startswith("web-1: no window admits it within 14 days")


@pytest.mark.parametrize(
    ("window", "told"),
    [
        ({"start": "25:00", "duration": "3h"}, "windows.0.start: give a time of day"),
        ({"start": "22:00", "duration": "3h", "tz": "Mars/Olympus"}, "windows.0.tz: give a time zone such as"),
        ({"start": "22:00", "duration": "1h", "cutoff": "2h"}, "windows.0: the cut-off is longer than the window"),
        ({"start": "22:00"}, "windows.0.duration: this field is missing"),
        ("night", "windows.0"),
    ],
)
def test_a_window_that_cannot_be_is_refused_when_it_is_written(world: World, window: object, told: str) -> None:
    with pytest.raises(BadInput, match=told):
        write(world, PolicyKind.FLEET, "", {"windows": [window]})
    assert not policies.policies(world.db)
