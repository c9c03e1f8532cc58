"""Images of a kind that few build: each is served as it stands, and what cannot be is refused in words, at no cost."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from fleet.gateway.fetch import FetchFailed
from fleet.gateway.session import MOST_LAYERS
from fleet.images.digest import Digest
from fleet.images.platform import Platform
from fleet.images.reference import Reference
from fleet.registry.manifest import DOCKER_MANIFEST, MANIFEST_CAP_BYTES, OCI_INDEX, OCI_MANIFEST
from fleet.testing.images import build_image, build_index
from fleet.testing.registry import ScriptedRegistry
from tests.gateway.docking import PullFailed
from tests.gateway.harbour import Harbour

AMD64 = Platform("linux", "amd64")
LAYER = b"a layer that is not unpacked here"


def every(harbour: Harbour) -> Sequence[ScriptedRegistry]:
    """Return all registries."""
    return (*harbour.mirrors, harbour.origin)


def descriptor(content: bytes, **more: Any) -> dict[str, Any]:
    """Return what an image says of *content*."""
    return {"mediaType": "application/octet-stream", "size": len(content), "digest": str(Digest.of(content)), **more}


def put(harbour: Harbour, document: dict[str, Any], *blobs: bytes, media_type: str = OCI_MANIFEST) -> Digest:
    """Put a manifest and its blobs into every registry."""
    raw = json.dumps({"schemaVersion": 2, "mediaType": media_type, **document}).encode()
    for registry in every(harbour):
        for blob in blobs:
            registry.shelf.add_blob("org/app", blob)
        harbour.digest = registry.shelf.add_manifest("org/app", raw, media_type, "1")
    return harbour.digest


def test_layers_that_stand_twice_and_layers_of_nothing(harbour: Harbour) -> None:
    """Each digest is fetched once; that of no bytes is one too."""
    config = b"{}"
    layers = [descriptor(LAYER), descriptor(b""), descriptor(LAYER), descriptor(b"")]
    put(harbour, {"config": descriptor(config), "layers": layers}, config, LAYER, b"")
    dock, attempts = harbour.pull()
    assert {LAYER, b"", config} <= set(dock.blobs.values())
    assert attempts[0].bytes == sum(map(len, dock.blobs.values()))
    assert len(harbour.mirrors[0].asked("blobs")) == 3


@pytest.mark.parametrize("algorithm", ["sha512", "sha384"])
def test_layers_by_another_algorithm(harbour: Harbour, algorithm: str) -> None:
    config, digest = b"{}", f"{algorithm}:{hashlib.new(algorithm, LAYER).hexdigest()}"
    put(harbour, {"config": descriptor(config), "layers": [descriptor(LAYER, digest=digest)]}, config)
    for registry in every(harbour):
        registry.shelf.repository("org/app").blobs[Digest.parse(digest)] = LAYER
    session, dock = harbour.open()
    dock.manifest(session.name, str(harbour.digest))
    assert dock.ask("GET", f"/v2/{session.name}/blobs/{digest}")[2] == LAYER


def test_an_index_in_an_index(harbour: Harbour) -> None:
    """Whoever asks for what stands below gets it; what is fetched ahead is the image at the end."""
    inner = build_index([build_image([LAYER])], oci=True)
    for registry in every(harbour):
        registry.shelf.add("org/app", inner)
    entry = descriptor(inner.raw, mediaType=OCI_INDEX, platform={"os": "linux", "architecture": "amd64"})
    put(harbour, {"manifests": [entry]}, media_type=OCI_INDEX)
    session, dock = harbour.open()
    harbour.gateway.submit(session.prepare(AMD64)).result(60)
    outer = dock.manifest(session.name, str(harbour.digest))
    dock.pull(session.name, outer["manifests"][0]["digest"])
    assert LAYER in dock.blobs.values()


def test_a_manifest_that_is_said_to_be_larger_than_any_costs_nothing(harbour: Harbour) -> None:
    """An index names a size of a gigabyte, and a mirror would give that much: not a byte is taken."""
    huge = b" " * (MANIFEST_CAP_BYTES + 1)
    entry = descriptor(huge, mediaType=DOCKER_MANIFEST, platform={"os": "linux", "architecture": "amd64"})
    put(harbour, {"manifests": [entry]}, media_type=OCI_INDEX)
    for registry in every(harbour):
        registry.shelf.add_manifest("org/app", huge, DOCKER_MANIFEST)
    session, dock = harbour.open()
    with pytest.raises(FetchFailed, match="cannot take a manifest of more than"):
        harbour.gateway.submit(session.prepare(AMD64)).result(60)
    with pytest.raises(PullFailed):
        dock.manifest(session.name, str(Digest.of(huge)))
    assert str(Digest.of(huge)) not in {entry.tail for entry in harbour.mirrors[0].log}


def test_more_layers_than_any_engine_unpacks_cost_nothing(harbour: Harbour) -> None:
    """A manifest has room for twenty thousand, and each would keep a file of the agent open."""
    config, layers = b"{}", [descriptor(b"%d" % number) for number in range(MOST_LAYERS + 1)]
    put(harbour, {"config": descriptor(config), "layers": layers}, config)
    session, _ = harbour.open()
    with pytest.raises(FetchFailed, match="cannot take an image of more than 500 layers"):
        harbour.gateway.submit(session.prepare(AMD64)).result(60)
    harbour.gateway.end(session)
    assert not any(registry.asked("blobs") for registry in every(harbour))


@pytest.mark.full
def test_as_many_layers_as_can_be_unpacked_come_and_leave_nothing_open(harbour: Harbour) -> None:
    config, contents = b"{}", [b"%d" % number for number in range(MOST_LAYERS)]
    layers = [descriptor(content) for content in contents]
    put(harbour, {"config": descriptor(config), "layers": layers}, config, *contents)
    open_before = len(list(Path("/proc/self/fd").iterdir()))
    dock, attempts = harbour.pull()
    assert attempts[0].bytes == sum(map(len, dock.blobs.values()))
    assert len(dock.blobs) == MOST_LAYERS + 2
    # Some connections are kept for a moment.
    assert len(list(Path("/proc/self/fd").iterdir())) < open_before + 50


def test_a_name_and_a_tag_of_the_greatest_length(harbour: Harbour) -> None:
    repository = "/".join(["a__b", "c---d", "e.f_g", "x" * 200, "y" * 30])[:255].rstrip("/-._")
    tag = "t" * 128
    for registry in every(harbour):
        harbour.digest = registry.shelf.add_image(repository, tag, layers=[LAYER])
    reference = Reference.parse(f"{harbour.origin.host}/{repository}:{tag}")
    session = harbour.gateway.open(reference, harbour.digest, harbour.table)
    dock = harbour.dock(session)
    dock.pull(session.name, str(harbour.digest))
    assert LAYER in dock.blobs.values()
    assert len(session.name) <= 240


def test_what_an_engine_fetched_past_the_gateway_is_told(harbour: Harbour) -> None:
    """A layer with ``urls`` may come from there: it is not fetched ahead, and who does not ask for it here had it from there."""
    config, urls = b"{}", ["https://ann:hunter2@cdn.lan/layer?signed=hunter2", "https://cdn.lan/again"]
    away = b"a layer that the image says is elsewhere"
    layers = [descriptor(LAYER), descriptor(away, urls=urls)]
    put(harbour, {"config": descriptor(config), "layers": layers}, config, LAYER, away)
    session, dock = harbour.open()
    harbour.gateway.submit(session.prepare(AMD64)).result(60)
    harbour.gateway.submit(session.prefetch([])).result(60)
    for blob in (config, LAYER):
        dock.get(f"/v2/{session.name}/blobs/{Digest.of(blob)}", str(Digest.of(blob)))
    assert session.elsewhere() == f"{len(away)} bytes came from cdn.lan, as the image says, and not by mirrors"
    assert str(Digest.of(away)) not in {entry.tail for entry in harbour.mirrors[0].log}
    dock.get(f"/v2/{session.name}/blobs/{Digest.of(away)}", str(Digest.of(away)))
    assert session.elsewhere() == ""
