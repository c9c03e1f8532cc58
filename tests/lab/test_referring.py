"""An engine that asks for attestations and for what signs them has all of it through the gateway, as by a pull of its own."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from fleet.images.digest import Digest
from fleet.registry.manifest import OCI_INDEX, OCI_MANIFEST
from fleet.testing.images import BuiltManifest
from tests.lab.engines import Generation
from tests.lab.images import Recipe, build
from tests.lab.lab import Host, Lab
from tests.lab.registries import ScriptableRegistry
from tests.lab.test_pull import pull

pytestmark = pytest.mark.timeout(600)

CONFIG, STATEMENT = "application/vnd.oci.image.config.v1+json", "application/vnd.in-toto+json"
SIGNATURE = "application/vnd.dev.sigstore.bundle.v0.3+json"


@pytest.fixture(scope="module")
def registry(lab: Lab) -> ScriptableRegistry:
    """Start a registry in plain http that keeps what refers to an image under a tag, as most do."""
    return lab.scriptable("referring")


def pointer(kind: str, content: bytes, **more: Any) -> dict[str, Any]:
    """Return a descriptor of *content*."""
    return {"mediaType": kind, "size": len(content), "digest": str(Digest.of(content)), **more}


def document(config: bytes, layer: bytes, kinds: tuple[str, str], **more: Any) -> BuiltManifest:
    """Return a manifest of one layer that is no archive."""
    rows = {"config": pointer(kinds[0], config), "layers": [pointer(kinds[1], layer)]}
    raw = json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, **rows, **more}).encode()
    return BuiltManifest(raw=raw, media_type=OCI_MANIFEST, blobs={Digest.of(each): each for each in (config, layer)})


def index(*entries: tuple[BuiltManifest, dict[str, Any]]) -> BuiltManifest:
    """Return the index of *entries*, each with what it says of it."""
    rows = [pointer(built.media_type, built.raw, **more) for built, more in entries]
    raw = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": rows}).encode()
    return BuiltManifest(raw=raw, media_type=OCI_INDEX, children=tuple(built for built, _ in entries))


def test_what_signs_an_attestation_comes_with_the_image(
    host_of: Callable[[str], Host], registry: ScriptableRegistry
) -> None:
    Generation.V29.need()
    host, repository = host_of(Generation.V29), "team/signed"
    image = build(Recipe(version="signed"))
    unpacked = {"type": "layers", "diff_ids": [str(Digest.of(b"a statement"))]}
    told = json.dumps({"architecture": "unknown", "os": "unknown", "config": {}, "rootfs": unpacked}).encode()
    attestation = document(told, b"a statement", (CONFIG, STATEMENT))
    about = {
        "platform": {"os": "unknown", "architecture": "unknown"},
        "annotations": {
            "vnd.docker.reference.digest": str(image.digest),
            "vnd.docker.reference.type": "attestation-manifest",
        },
    }
    whole = index((image, {"platform": {"os": "linux", "architecture": "amd64"}}), (attestation, about))
    subject = pointer(OCI_MANIFEST, attestation.raw)
    empty = "application/vnd.oci.empty.v1+json"
    signature = document(b"{}", b"a signature", (empty, SIGNATURE), artifactType=SIGNATURE, subject=subject)
    digest = registry.push(repository, "1", whole)
    registry.push(
        repository, str(attestation.digest).replace(":", "-"), index((signature, {"artifactType": SIGNATURE}))
    )
    done = pull(host, f"{registry.host}/{repository}:1", digest, insecure=[registry.host])
    assert done["outcome"]["ok"], done["outcome"]["reason"]
    fetched = {row.place.tail for row in registry.accesses() if row.agent == "fleet" and row.status == 200}
    assert {str(attestation.digest), str(signature.digest), str(Digest.of(b"a signature"))} <= fetched
    assert not any("docker/" in row.agent for row in registry.accesses())


def without_attestation(version: str) -> BuiltManifest:
    """Return an index that names an attestation of its image, and whose attestation nobody has."""
    image = build(Recipe(version=version))
    attestation = document(b"{}", version.encode(), (CONFIG, STATEMENT))
    about = {
        "platform": {"os": "unknown", "architecture": "unknown"},
        "annotations": {
            "vnd.docker.reference.digest": str(image.digest),
            "vnd.docker.reference.type": "attestation-manifest",
        },
    }
    whole = index((image, {"platform": {"os": "linux", "architecture": "amd64"}}), (attestation, about))
    return replace(whole, children=(image,))


@pytest.mark.full
@pytest.mark.parametrize("generation", [Generation.V26_CONTAINERD, Generation.V29])
def test_an_image_whose_attestation_nobody_has_comes_where_the_engine_takes_it(
    generation: Generation, lab: Lab, registry: ScriptableRegistry
) -> None:
    """Images are copied without what is said of them; the engine is the judge of that, by itself and through the gateway."""
    generation.need()
    named = generation.replace(".", "-")
    host = lab.host(f"bare-{named}", generation, options={"insecure-registries": [registry.host]})
    digest = registry.push(f"team/alone-{named}", "1", without_attestation(f"alone {generation}"))
    alone = host.machine.run(
        "docker", "pull", f"{registry.host}/team/alone-{named}@{digest}", check=False, timeout_s=60
    )
    digest = registry.push(f"team/bare-{named}", "1", without_attestation(f"bare {generation}"))
    done = pull(host, f"{registry.host}/team/bare-{named}:1", digest, insecure=[registry.host])
    assert done["outcome"]["ok"] == (alone.returncode == 0), done["outcome"]["reason"]
