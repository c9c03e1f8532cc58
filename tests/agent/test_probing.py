"""What an agent finds when it looks at its mirrors."""

import os
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest

from fleet.agent.facts import Facts
from fleet.agent.probing import USER_AGENT, Prober
from fleet.agent.problems import Problems
from fleet.clock import SystemClock
from fleet.mirrors.policy import parse_mirrors
from fleet.mirrors.probe import MirrorProbe, ProbeState
from fleet.mirrors.sources import HostMirrors
from fleet.registry.credentials import NoCredentials
from fleet.road.messages import Probe, Probed, Up
from fleet.testing.engine import MemoryEngine
from fleet.testing.faults import Fault
from fleet.testing.gatekeeper import Access
from fleet.testing.registry import ScriptedRegistry

IMAGE = "docker.io/library/app:1"


def look(url: str, images: dict[str, str], stands_in_for: str = "docker.io") -> MirrorProbe:
    """Return what an agent finds at one mirror."""
    said: list[Up] = []
    facts = Facts(MemoryEngine(), lambda _: HostMirrors(), Problems())
    prober = Prober(NoCredentials(), facts, said.append, clock=SystemClock())
    answer = prober.answer(
        Probe(request=uuid4(), mirrors=parse_mirrors([{"for": stands_in_for, "url": url}]), images=images)
    )
    (found,) = answer.mirrors
    return found


def test_whoever_believes_something_of_mirrors_hears_that_they_were_looked_at() -> None:
    told: list[str] = []
    facts = Facts(MemoryEngine(), lambda _: HostMirrors(), Problems())
    prober = Prober(NoCredentials(), facts, lambda _: None, clock=SystemClock())
    prober.looked = lambda: told.append("looked")
    prober.answer(Probe(request=uuid4()))
    assert told == ["looked"]


def test_what_waits_is_answered_once() -> None:
    said: list[Up] = []
    facts = Facts(MemoryEngine(), lambda _: HostMirrors(), Problems())
    prober = Prober(NoCredentials(), facts, said.append, clock=SystemClock())
    asked = [Probe(request=uuid4()) for _ in range(2)]
    for request in asked:
        prober.ask(request)
    prober.step()
    prober.step()
    assert said == [Probed(request=each.request, mirrors=()) for each in asked]


@pytest.mark.parametrize(
    ("stands_in_for", "state"),
    [
        ("docker.io", ProbeState.MISSING),
        ("*", ProbeState.MISSING),
        ("ghcr.io", ProbeState.OK),
        ("quay.io", ProbeState.OK),
    ],
)
def test_a_mirror_is_asked_for_an_image_of_what_it_stands_in_for(stands_in_for: str, state: ProbeState) -> None:
    """One that stands in for all is asked as Docker Hub's; for which none is known, it need only be a registry."""
    with ScriptedRegistry() as registry:
        digest = str(registry.shelf.add_image("acme/tool", "1", layers=[b"x"]))
        images = {"ghcr.io/acme/tool:1": digest, IMAGE: ""}
        assert look(registry.url, images, stands_in_for).state is state


def test_a_mirror_that_has_what_the_origin_has_is_well() -> None:
    with ScriptedRegistry() as registry:
        digest = str(registry.shelf.add_image("library/app", "1", layers=[b"x"]))
        found = look(registry.url, {IMAGE: digest})
        assert (found.state, found.digest, found.reason) == (ProbeState.OK, digest, "")
        assert (found.mirror, found.registry, found.tls_not_after) == (registry.url, "docker.io", None)


def test_a_mirror_with_another_digest_than_the_origin_is_stale() -> None:
    with ScriptedRegistry() as registry:
        registry.shelf.add_image("library/app", "1", layers=[b"old"])
        found = look(registry.url, {IMAGE: f"sha256:{'a' * 64}"})
        assert found.state is ProbeState.STALE
        assert found.origin_digest == f"sha256:{'a' * 64}"


def test_a_mirror_without_the_image_is_told_apart_from_one_that_is_down() -> None:
    with ScriptedRegistry() as registry:
        assert look(registry.url, {IMAGE: ""}).state is ProbeState.MISSING
        assert look(registry.url, {}).state is ProbeState.OK, "it is a registry"
        with registry.down():
            assert look(registry.url, {}).state is ProbeState.DOWN


@pytest.mark.parametrize(("status", "state"), [(429, ProbeState.LIMITED), (500, ProbeState.DOWN)])
def test_a_mirror_that_refuses_says_how(status: int, state: ProbeState) -> None:
    with ScriptedRegistry() as registry:
        registry.shelf.add_image("library/app", "1", layers=[b"x"])
        registry.faults.add(Fault.STATUS, status=status)
        assert look(registry.url, {IMAGE: ""}).state is state


def test_a_mirror_that_wants_a_login_is_unauthorized() -> None:
    with ScriptedRegistry(access=Access(scheme="basic", username="u", password="p")) as registry:
        registry.shelf.add_image("library/app", "1", layers=[b"x"])
        assert look(registry.url, {IMAGE: ""}).state is ProbeState.UNAUTHORIZED
        assert look(registry.url, {}).state is ProbeState.UNAUTHORIZED


class Skipping(SystemClock):
    """The real clock, and what the test skipped."""

    skipped_s = 0.0

    def monotonic(self) -> float:
        """Return seconds."""
        return super().monotonic() + self.skipped_s


@pytest.fixture
def looks() -> Iterator[tuple[ScriptedRegistry, Skipping, Callable[[], MirrorProbe]]]:
    """Give a mirror with a large and a small layer, and an agent that looks at it again and again."""
    with ScriptedRegistry() as registry:
        digest = str(registry.shelf.add_image("library/app", "1", layers=[os.urandom(6_000_000), b"small"]))
        clock = Skipping()
        facts = Facts(MemoryEngine(), lambda _: HostMirrors(), Problems())
        prober = Prober(NoCredentials(), facts, lambda _: None, clock=clock)
        mirrors = parse_mirrors([{"for": "docker.io", "url": registry.url}])

        def look() -> MirrorProbe:
            (found,) = prober.answer(Probe(request=uuid4(), mirrors=mirrors, images={IMAGE: digest})).mirrors
            return found

        yield registry, clock, look


def test_a_mirror_is_measured_by_a_part_of_its_largest_layer_once_a_day(
    looks: tuple[ScriptedRegistry, Skipping, Callable[[], MirrorProbe]],
) -> None:
    registry, clock, look = looks
    speeds = [look().bytes_per_s for _ in range(2)]
    assert speeds[0] is not None
    assert speeds[0] > 100_000
    assert speeds[1] is None
    (asked,) = registry.asked("blobs")
    assert asked.headers["range"] == "bytes=0-4194303"
    assert {entry.headers["user-agent"] for entry in registry.log} == {USER_AGENT}
    clock.skipped_s = 24 * 3600 + 1
    assert look().bytes_per_s is not None


def test_a_mirror_whose_layers_are_small_or_refused_is_well_and_not_measured() -> None:
    with ScriptedRegistry() as registry:
        digest = str(registry.shelf.add_image("library/app", "1", layers=[b"small"]))
        found = look(registry.url, {IMAGE: digest})
        assert (found.state, found.bytes_per_s, registry.asked("blobs")) == (ProbeState.OK, None, [])
    with ScriptedRegistry() as registry:
        digest = str(registry.shelf.add_image("library/app", "1", layers=[os.urandom(600_000)]))
        registry.faults.add(Fault.STATUS, kind="blobs", status=503)
        found = look(registry.url, {IMAGE: digest})
        assert (found.state, found.bytes_per_s) == (ProbeState.OK, None)
