"""A manifest is what its bytes say, and only the bytes that were meant."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.errors import RegistryError
from fleet.images.digest import Digest
from fleet.images.platform import Platform
from fleet.registry.manifest import (
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    MANIFEST_CAP_BYTES,
    OCI_INDEX,
    OCI_MANIFEST,
    Manifest,
)
from fleet.testing.images import build_image, build_index

DIGEST = str(Digest.of(b"x"))


def raw_of(**fields: Any) -> bytes:
    """Return a manifest's bytes with these fields."""
    return json.dumps({"schemaVersion": 2, **fields}).encode()


def descriptor(**fields: Any) -> dict[str, Any]:
    """Return one descriptor, sound but for *fields*."""
    return {"mediaType": OCI_MANIFEST, "digest": DIGEST, "size": 1, **fields}


def test_an_image_lists_its_blobs_once_each() -> None:
    """Config first, then the layers in order; a layer used twice is one blob."""
    built = build_image([b"one", b"two", b"one"])
    manifest = Manifest.read(built.raw, built.media_type)
    assert (manifest.digest, manifest.is_index) == (built.digest, False)
    assert manifest.config is not None
    assert [blob.digest for blob in manifest.blobs] == [
        manifest.config.digest,
        Digest.of(b"one"),
        Digest.of(b"two"),
    ]


@pytest.mark.parametrize("oci", [False, True])
def test_amd64_and_arm64_of_one_tag_are_told_apart(oci: bool) -> None:
    """The index is one digest for all, and each platform gets its own manifest from it."""
    images = [build_image([name.encode()], platform=Platform("linux", name)) for name in ("amd64", "arm64")]
    index = build_index(images, oci=oci)
    manifest = Manifest.read(index.raw, index.media_type)
    assert manifest.is_index
    for image, name in zip(images, ("amd64", "arm64"), strict=True):
        chosen = manifest.choose(Platform("linux", name))
        assert chosen is not None
        assert chosen.digest == image.digest
    assert manifest.choose(Platform("linux", "s390x")) is None
    assert manifest.choose(Platform("windows", "amd64")) is None


def test_attestations_are_never_chosen() -> None:
    """BuildKit's provenance lies among the images, and is none."""
    entries = [
        descriptor(platform={"os": "unknown", "architecture": "unknown"}),
        descriptor(
            platform={"os": "linux", "architecture": "amd64"},
            annotations={"vnd.docker.reference.type": "attestation-manifest"},
        ),
        descriptor(digest=str(Digest.of(b"image")), platform={"os": "linux", "architecture": "amd64"}),
    ]
    chosen = Manifest.read(raw_of(mediaType=OCI_INDEX, manifests=entries)).choose(Platform("linux", "amd64"))
    assert chosen is not None
    assert chosen.digest == Digest.of(b"image")


@pytest.mark.parametrize(
    ("fields", "content_type", "media_type"),
    [
        ({"manifests": []}, DOCKER_INDEX, DOCKER_INDEX),
        ({"manifests": []}, f"{OCI_INDEX}; charset=utf-8", OCI_INDEX),
        ({"manifests": [], "mediaType": DOCKER_INDEX}, "application/json", DOCKER_INDEX),
        ({"manifests": []}, "", OCI_INDEX),
        ({"config": descriptor(), "layers": []}, "text/plain", OCI_MANIFEST),
        ({"config": descriptor(), "layers": [], "mediaType": DOCKER_MANIFEST}, "", DOCKER_MANIFEST),
    ],
)
def test_the_media_type_is_the_headers_else_its_own_else_its_shape(
    fields: dict[str, Any], content_type: str, media_type: str
) -> None:
    """Registries that label manifests badly are understood all the same."""
    assert Manifest.read(raw_of(**fields), content_type).media_type == media_type


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"not json",
        b"[]",
        b"{}",
        b"[" * 100_000,
        raw_of(manifests=[], layers=[]),
        raw_of(manifests="text"),
        raw_of(manifests=[1]),
        raw_of(manifests=[descriptor(size=-1)]),
        raw_of(manifests=[descriptor(size="many")]),
        raw_of(manifests=[descriptor(digest="md5:abc")]),
        raw_of(manifests=[descriptor(platform="linux/amd64")]),
        raw_of(config=descriptor(), layers=[{}]),
        raw_of(config=[], layers=[]),
        raw_of(config="text", layers=[]),
        json.dumps({"schemaVersion": 1, "fsLayers": []}).encode(),
        b" " * (MANIFEST_CAP_BYTES + 1),
    ],
    ids=lambda raw: repr(raw[:50]),
)
def test_what_is_no_manifest_is_refused(raw: bytes) -> None:
    """Broken, ambiguous, outdated and endless manifests end in one kind of error."""
    with pytest.raises(RegistryError, match=r"^cannot "):
        Manifest.read(raw)


def test_other_bytes_than_the_digest_names_are_refused() -> None:
    """A manifest asked for by digest is proved before it is read."""
    with pytest.raises(RegistryError, match="its bytes are others"):
        Manifest.read(b"{}", digest=Digest.of(b"{ }"))


@given(
    st.binary(max_size=200) | st.from_regex(r'\{"(manifests|layers|config)":[\[\]{}"a-z0-9:,]{0,40}\}').map(str.encode)
)
def test_reading_is_total(raw: bytes) -> None:
    """Whatever a server sends, reading gives a manifest or a RegistryError."""
    try:
        Manifest.read(raw)
    except RegistryError as error:
        assert str(error).startswith("cannot ")
