"""An image whose layer is said to be elsewhere comes to every engine, and what came past the mirrors is told."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.lab.engines import Generation
from tests.lab.images import Recipe, build
from tests.lab.lab import Host, Lab
from tests.lab.registries import ScriptableRegistry
from tests.lab.test_pull import pull

pytestmark = [pytest.mark.timeout(600), pytest.mark.full]

FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"


@pytest.fixture(scope="module")
def registry(lab: Lab) -> ScriptableRegistry:
    """Start the image's own."""
    return lab.scriptable("odd-registry")


@pytest.fixture(scope="module")
def cdn(lab: Lab) -> ScriptableRegistry:
    """Start what the image says has its layer."""
    return lab.scriptable("odd-cdn")


def test_a_layer_from_elsewhere(
    generation: Generation, host_of: Callable[[str], Host], registry: ScriptableRegistry, cdn: ScriptableRegistry
) -> None:
    """The containerd store asks the layer's own URL before any registry; by the logs, and by what is told."""
    host = host_of(generation)
    repository = f"odd/app-{generation.replace('.', '-')}"
    plain = build(Recipe(version=f"odd {generation}", layers_mib=(0.1,)))
    document = json.loads(plain.raw)
    layer = document["layers"][1]
    cdn.push(repository, "1", plain)
    layer |= {"mediaType": FOREIGN, "urls": [f"{cdn.url}/v2/{repository}/blobs/{layer['digest']}"]}
    image = replace(plain, raw=json.dumps(document).encode())
    digest = registry.push(repository, "1", image)
    told = pull(host, f"{registry.host}/{repository}:1", digest, insecure=[registry.host])
    outcome = told["outcome"]
    assert outcome["ok"], outcome["reason"]
    past = cdn.sent(host.address, {layer["digest"]})
    assert past == (layer["size"] if generation.containerd_store else 0)
    # The host may have the other layer from another test's image.
    whole = {str(digest), *(each["digest"] for each in (document["config"], *document["layers"]))}
    assert outcome["bytes"] == registry.sent(host.address, whole) >= len(image.raw) + document["config"]["size"]
    remark = f"{past} bytes came from {cdn.host}, as the image says, and not by mirrors"
    assert outcome["reason"] == (remark if past else "")
