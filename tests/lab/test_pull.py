"""Real engines, old and new, with both image stores, get the right bytes through the gateway past dead and lying mirrors."""

import itertools
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fleet.images.digest import Digest
from tests.lab.conftest import ONE_OF_EACH_STORE
from tests.lab.engines import Generation
from tests.lab.images import Recipe
from tests.lab.lab import Host, Lab
from tests.lab.machines import eventually
from tests.lab.registries import DockerRegistry, Registry, ScriptableRegistry
from tests.updates import pull_on_host

pytestmark = pytest.mark.timeout(600)

SCRIPT = Path(pull_on_host.__file__)
_NUMBERS = itertools.count()
SOON_MS = 45_000
"""What has to end by then on a busy machine: an engine left to itself would try for 50 seconds, or hang."""


@dataclass(frozen=True)
class Mirrors:
    """Three mirrors of Docker Hub, in this order."""

    dead: Registry
    lying: Registry
    good: DockerRegistry

    def policy(self) -> list[dict[str, str]]:
        """Return them as the policy has them."""
        return [{"for": "docker.io", "url": mirror.url} for mirror in (self.dead, self.lying, self.good)]


@dataclass
class Two:
    """An image that a host has, and a newer one."""

    reference: str
    new: Digest
    more: dict[str, Any]
    old_id: str = ""


@pytest.fixture(scope="module")
def mirrors(lab: Lab, origin: DockerRegistry) -> Mirrors:
    """Start the three."""
    return Mirrors(lab.dead("pull-dead"), lab.lying("pull-lying"), lab.cache("pull-good"))


@pytest.fixture(scope="module")
def broken(lab: Lab) -> ScriptableRegistry:
    """Start a registry in plain http that can be told to misbehave."""
    return lab.scriptable("pull-broken")


@pytest.fixture
def host(generation: Generation, host_of: Callable[[str], Host]) -> Host:
    """Give a host of each generation in turn."""
    return host_of(generation)


def asked(host: Host, reference: str, digest: Digest, **more: Any) -> str:
    """Return the order to pull on *host* as its agent does."""
    state = str(host.machine.folder / "agent")
    return json.dumps({"state": state, "reference": reference, "digest": str(digest), **more})


def pull(host: Host, reference: str, digest: Digest, **more: Any) -> Any:
    """Pull on *host*, and return what came of it."""
    done = host.machine.run(sys.executable, SCRIPT, asked(host, reference, digest, **more), timeout_s=300)
    return json.loads(done.stdout.splitlines()[-1])


def left_over(told: Any) -> list[str]:
    """Return the gateway's names that the engine still has."""
    return [text for text in told["names"] if text.startswith("127.0.0.1")]


def test_past_a_dead_and_a_lying_mirror(
    generation: Generation, host: Host, origin: DockerRegistry, mirrors: Mirrors
) -> None:
    """Names, digests and ids are as after a pull of the engine's own, and the mirror's log has the bytes we say it sent."""
    repository = f"library/past-{generation.replace('.', '-')}"
    name = repository.removeprefix("library/")
    digest = origin.push(repository, "1", Recipe(version=generation, layers_mib=(1.5, 0.5)))
    told = pull(host, f"{name}:1", digest, mirrors=mirrors.policy())
    outcome, image = told["outcome"], told["image"]
    assert outcome["ok"], outcome["reason"]
    results = [(a["source"], a["result"]) for a in outcome["attempts"]]
    assert results == [
        (mirrors.dead.url, "unreachable"),
        (mirrors.lying.url, "wrong_bytes"),
        (mirrors.good.url, "served"),
        ("https://registry-1.docker.io", "unused"),
    ]
    assert image["RepoTags"] == [f"{name}:1"]
    assert image["RepoDigests"] == [f"{name}@{digest}"]
    assert image["Id"] == outcome["image_id"]
    assert (image["Id"] == str(digest)) is generation.containerd_store
    assert not left_over(told)
    assert told["known"] == str(digest)
    by_source = {a["source"]: a["bytes"] for a in outcome["attempts"]}
    assert sum(by_source.values()) == outcome["bytes"]
    assert by_source[mirrors.dead.url] == 0
    assert by_source[mirrors.good.url] == mirrors.good.bytes_to(host.address, repository)
    assert origin.bytes_to(host.address, repository) == 0
    again = pull(host, f"{name}:1", digest, mirrors=mirrors.policy())
    assert again["outcome"]["tier"] == "present"


@pytest.fixture
def two(generation: Generation, broken: ScriptableRegistry, host: Host) -> Iterator[Two]:
    """Push an old and a new image, and pull the old one."""
    repository = f"team/app-{generation.replace('.', '-')}-{next(_NUMBERS)}"
    old = broken.push(repository, "1", Recipe(version=f"old {repository}"))
    new = broken.push(repository, "1", Recipe(version=f"new {repository}", layers_mib=(0.5,)))
    made = Two(f"{broken.host}/{repository}:1", new, {"insecure": [broken.host]})
    good = pull(host, made.reference, old, **made.more)
    assert good["outcome"]["ok"], good["outcome"]["reason"]
    made.old_id = good["image"]["Id"]
    yield made
    broken.misbehave()


@pytest.mark.parametrize("generation", ONE_OF_EACH_STORE, indirect=True)
def test_where_no_source_can_serve_the_old_image_keeps_its_name(
    host: Host, broken: ScriptableRegistry, two: Two
) -> None:
    """The failure is named at once, no wrong byte is left behind, and the next pull goes well."""
    broken.misbehave({"fault": "wrong_bytes", "kind": "blobs"})
    bad = pull(host, two.reference, two.new, **two.more)
    assert bad["outcome"]["reason"].startswith("cannot get the layer")
    assert [a["result"] for a in bad["outcome"]["attempts"]] == ["wrong_bytes"]
    assert bad["outcome"]["duration_ms"] < SOON_MS
    assert bad["image"]["Id"] == two.old_id
    broken.misbehave()
    assert pull(host, two.reference, two.new, **two.more)["outcome"]["ok"]


@pytest.mark.parametrize("generation", ONE_OF_EACH_STORE, indirect=True)
def test_a_failure_after_the_header_ends_the_engines_pull_too(host: Host, broken: ScriptableRegistry, two: Two) -> None:
    """The engine has the header and no byte of the body; it must not try again for a minute."""
    broken.misbehave({"fault": "stall", "kind": "blobs", "at": 100_000})
    bad = pull(host, two.reference, two.new, silence_s=3, header_hold_s=1, **two.more)
    assert bad["outcome"]["reason"].startswith("cannot get the layer")
    assert bad["outcome"]["duration_ms"] < SOON_MS
    assert bad["image"]["Id"] == two.old_id


@pytest.mark.parametrize("generation", ONE_OF_EACH_STORE, indirect=True)
def test_a_pull_that_is_not_wanted_any_more_ends(host: Host, broken: ScriptableRegistry, two: Two) -> None:
    broken.misbehave({"fault": "slow", "kind": "blobs", "rate": 50_000})
    bad = pull(host, two.reference, two.new, stop_after_s=1.5, **two.more)
    assert bad["outcome"]["reason"].endswith("it was stopped")
    assert bad["outcome"]["duration_ms"] < SOON_MS
    assert bad["image"]["Id"] == two.old_id
    assert not left_over(bad)


@pytest.mark.parametrize("generation", ONE_OF_EACH_STORE, indirect=True)
def test_an_agent_that_is_killed_within_a_pull_pulls_again(host: Host, broken: ScriptableRegistry, two: Two) -> None:
    """Its engine, which saw the connection end, takes the image from the next agent."""
    broken.misbehave({"fault": "slow", "kind": "blobs", "rate": 100_000})
    order = asked(host, two.reference, two.new, **two.more)
    running = host.machine.start("agent", sys.executable, SCRIPT, order)
    spool = host.machine.folder / "agent" / "spool"
    eventually("bytes in the spool", lambda: any(file.stat().st_size for file in spool.glob("*.part")))
    running.kill()
    broken.misbehave()
    again = pull(host, two.reference, two.new, **two.more)
    assert again["outcome"]["ok"], again["outcome"]["reason"]
    assert again["image"]["Id"] != two.old_id
    assert not left_over(again)
