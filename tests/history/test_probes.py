"""Hosts are asked to look at their mirrors, and what they found is kept."""

from dataclasses import replace
from datetime import timedelta

from fleet.history.mirrors import probes
from fleet.mirrors.probe import MirrorProbe, ProbeState
from fleet.road.messages import Probed
from tests.history.conftest import HeldClock
from tests.history.world import Agent, World, container


def seen(state: ProbeState, mirror: str = "https://m.lan") -> MirrorProbe:
    """Return a look."""
    return MirrorProbe(mirror=mirror, registry="docker.io", state=state, duration_ms=5)


def test_the_newest_look_of_each_host_and_mirror_stands(world: World, clock: HeldClock) -> None:
    agent = world.add_host("web-1", container("a"))
    for state in (ProbeState.OK, ProbeState.DOWN):
        asked = probes.ask_probes(world.db, [agent.id], by="person:anna")
        assert probes.answered(world.db, list(asked.values())) == set()
        world.take(agent, Probed(request=asked[agent.id], mirrors=(seen(state), seen(ProbeState.OK, "https://n.lan"))))
        assert probes.answered(world.db, list(asked.values())) == set(asked.values())
        clock.move(minutes=5)
    found = {row.mirror: row.state for row in probes.latest_probes(world.db)}
    assert found == {"https://m.lan": ProbeState.DOWN, "https://n.lan": ProbeState.OK}
    clock.move(days=3)
    assert probes.latest_probes(world.db) == [], "too old to tell"


def test_a_mirror_that_a_host_tells_of_no_more_is_none_of_it_any_more(world: World, clock: HeldClock) -> None:
    """Who mends a mistyped mirror is not told of it for two days."""
    agents = [world.add_host(name, container("a")) for name in ("web-1", "web-2")]

    def look(*mirrors: str, of: Agent) -> None:
        (request,) = probes.ask_probes(world.db, [of.id], by="person:anna").values()
        world.take(of, Probed(request=request, mirrors=tuple(seen(ProbeState.DOWN, mirror) for mirror in mirrors)))
        clock.move(minutes=5)

    for agent in agents:
        look("https://typo.lan", "https://m.lan", of=agent)
    look("https://m.lan", of=agents[0])
    probes.ask_probes(world.db, [agents[0].id], by="person:anna")  # nobody answered yet
    told = [(row.host, row.mirror) for row in probes.latest_probes(world.db)]
    assert told == [("web-1", "https://m.lan"), ("web-2", "https://m.lan"), ("web-2", "https://typo.lan")]
    look(of=agents[1])
    assert [row.host for row in probes.latest_probes(world.db)] == ["web-1"]


def test_an_answer_that_nobody_waits_for_is_dropped(world: World) -> None:
    agent, other = (world.add_host(name, container("a")) for name in ("web-1", "web-2"))
    (request,) = probes.ask_probes(world.db, [agent.id], by="person:anna").values()
    answer = Probed(request=request, mirrors=(seen(ProbeState.OK),))
    world.take(other, answer)
    assert probes.latest_probes(world.db) == []
    world.take(agent, answer)
    world.take(agent, answer)
    assert len(probes.latest_probes(world.db)) == 1


def test_each_live_host_is_due_once_in_an_interval(world: World, clock: HeldClock) -> None:
    agent = world.add_host("web-1", container("a"))
    assert probes.due_hosts(world.db, timedelta(hours=6)) == [agent.id]
    probes.ask_probes(world.db, [agent.id], by=probes.SCHEDULE)
    assert probes.due_hosts(world.db, timedelta(hours=6)) == []
    clock.move(hours=7)
    assert probes.due_hosts(world.db, timedelta(hours=6)) == [], "it is silent"


def test_a_speed_that_was_measured_is_told_with_the_looks_after_it(world: World, clock: HeldClock) -> None:
    agent = world.add_host("web-1", container("a"))
    for speed in (25_000_000, None):
        (request,) = probes.ask_probes(world.db, [agent.id], by="person:anna").values()
        world.take(agent, Probed(request=request, mirrors=(replace(seen(ProbeState.OK), bytes_per_s=speed),)))
        assert [row.bytes_per_s for row in probes.latest_probes(world.db)] == [25_000_000]
        clock.move(minutes=5)
