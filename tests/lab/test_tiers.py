"""Real engines ask the gateway by the way that a canary finds: by a hosts.toml of ours, or on loopback."""

from collections.abc import Callable

import pytest

from fleet.registry.tls import DOCKER_CERTS
from tests.lab.engines import Generation
from tests.lab.images import Recipe
from tests.lab.lab import Host, Lab
from tests.lab.registries import ScriptableRegistry
from tests.lab.test_pull import left_over, pull

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
        host.machine.run("docker", "pull", f"{REGISTRY}/org/own@{own}", timeout_s=60)
