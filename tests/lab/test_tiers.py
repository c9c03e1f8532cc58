"""Real engines ask the gateway by the way that a canary finds: by a hosts.toml of ours, or on loopback."""

import sys
from collections.abc import Callable, Iterator

import pytest

from fleet.registry.tls import DOCKER_CERTS
from tests.lab.engines import Generation
from tests.lab.images import Recipe
from tests.lab.lab import Host, Lab
from tests.lab.registries import ScriptableRegistry
from tests.lab.test_pull import left_over, pull

pytestmark = pytest.mark.timeout(600)

REGISTRY = "tiers.lab"
"""A registry that is nowhere but at its mirror."""


@pytest.fixture(scope="module")
def mirror(lab: Lab) -> ScriptableRegistry:
    """Start a mirror in plain http."""
    return lab.scriptable("tiers-mirror")


def test_the_way_of_each_engine(
    generation: Generation, host_of: Callable[[str], Host], mirror: ScriptableRegistry
) -> None:
    """Names and provenance are right either way, engines that can be asked natively are, and all their pulls gain."""
    host = host_of(generation)
    repository = f"org/app-{generation.replace('.', '-')}"
    digest = mirror.push(repository, "1", Recipe(version=f"tiers {generation}", layers_mib=(1.5, 0.5)))
    name = f"{REGISTRY}/{repository}"
    mirrors = [{"for": REGISTRY, "url": mirror.url}]
    told = pull(host, f"{name}:1", digest, mirrors=mirrors, hosts_toml=str(DOCKER_CERTS[0]))
    outcome, image = told["outcome"], told["image"]
    assert outcome["ok"], outcome["reason"]
    native = generation is Generation.V29
    assert outcome["tier"] == ("native" if native else "loopback")
    first = outcome["attempts"][0]
    assert (first["source"], first["result"]) == (mirror.url, "served")
    assert outcome["bytes"] == first["bytes"] > 1_500_000
    assert [tag for tag in image["RepoTags"] if "@" not in tag] == [f"{name}:1"]
    assert not left_over(told)
    assert not [text for text in told["names"] if "canary" in text]
    if native:
        own = mirror.push("org/own", "1", Recipe(version="own"))
        host.machine.run("docker", "pull", f"{REGISTRY}/org/own@{own}", timeout_s=180)


CONTAINERD = [Generation.V26_CONTAINERD, Generation.V29]
"""The engines that the agent may write hosts.toml for: the older one does not read it."""


@pytest.fixture(params=CONTAINERD)
def allowed(request: pytest.FixtureRequest, host_of: Callable[[str], Host]) -> Iterator[Host]:
    """Give a host whose agent may write hosts.toml; afterwards there is none."""
    generation = Generation(request.param)
    generation.need()
    host = host_of(generation)
    yield host
    host.machine.run("rm", "-rf", str(DOCKER_CERTS[0]))


def listing(host: Host) -> dict[str, str]:
    """Return every file below certs.d with its content."""
    found = host.machine.run("find", str(DOCKER_CERTS[0]), "-type", "f", check=False).stdout.split()
    return {path: host.machine.run("cat", path).stdout for path in found}


def write(host: Host, place: str, text: str) -> None:
    """Write a hosts.toml as its owner does."""
    folder = DOCKER_CERTS[0] / place
    host.machine.run("mkdir", "-p", str(folder))
    host.machine.run("sh", "-c", f"cat > {folder}/hosts.toml <<'END'\n{text}\nEND")


def test_a_file_of_somebody_else_is_left_alone(allowed: Host, mirror: ScriptableRegistry) -> None:
    """The pull goes by loopback then; the file is as before, and the engine's own pulls go by it."""
    theirs = f'server = "https://{REGISTRY}"\n[host."{mirror.url}"]\ncapabilities = ["pull", "resolve"]'
    write(allowed, REGISTRY, theirs)
    before, repository = listing(allowed), f"org/theirs-{allowed.generation.replace('.', '-')}"
    digest = mirror.push(repository, "1", Recipe(version=f"theirs {allowed.generation}"))
    mirrors = [{"for": REGISTRY, "url": mirror.url}]
    told = pull(allowed, f"{REGISTRY}/{repository}:1", digest, mirrors=mirrors, hosts_toml=str(DOCKER_CERTS[0]))
    assert (told["outcome"]["ok"], told["outcome"]["tier"]) == (True, "loopback"), told["outcome"]["reason"]
    assert listing(allowed) == before


def test_a_default_for_all_registries_does_not_take_the_gateways_pulls(
    allowed: Host, mirror: ScriptableRegistry
) -> None:
    """An insecure registry goes by loopback, where the owner's ``_default`` would send it to one that is dead."""
    dead = "http://127.0.0.1:9"
    write(allowed, "_default", f'server = "{dead}"\n[host."{dead}"]\ncapabilities = ["pull", "resolve"]')
    repository = f"org/default-{allowed.generation.replace('.', '-')}"
    digest = mirror.push(repository, "1", Recipe(version=f"default {allowed.generation}"))
    reference = f"{mirror.host}/{repository}:1"
    told = pull(allowed, reference, digest, insecure=[mirror.host], hosts_toml=str(DOCKER_CERTS[0]))
    assert (told["outcome"]["ok"], told["outcome"]["tier"]) == (True, "loopback"), told["outcome"]["reason"]
    assert told["outcome"]["attempts"][0]["source"].endswith(mirror.host)


@pytest.mark.parametrize("allowed", [Generation.V29], indirect=True)
def test_what_is_ours_goes_and_the_engine_asks_as_before(allowed: Host, mirror: ScriptableRegistry) -> None:
    """An agent that may not write any more, and one that is taken away, leave no file."""
    repository = "org/goes"
    old, new = (mirror.push(repository, tag, Recipe(version=f"goes {tag}")) for tag in ("1", "2"))
    mirrors = [{"for": REGISTRY, "url": mirror.url}]
    told = pull(allowed, f"{REGISTRY}/{repository}:1", old, mirrors=mirrors, hosts_toml=str(DOCKER_CERTS[0]))
    assert told["outcome"]["tier"] == "native"
    assert list(listing(allowed)) == [str(DOCKER_CERTS[0] / REGISTRY / "hosts.toml")]
    remove = "from fleet.mirrors.managed_hosts import ManagedHosts; print(ManagedHosts().remove_all())"
    assert allowed.machine.run(sys.executable, "-c", remove).stdout.strip() == "1"
    assert listing(allowed) == {}
    refused = allowed.machine.run("docker", "pull", f"{REGISTRY}/{repository}@{new}", check=False, timeout_s=180)
    assert refused.returncode != 0
