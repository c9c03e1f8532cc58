"""What an image says of its containers is read from its own blob, proved, and each field of its kind or not at all."""

import json
from typing import Any

import pytest

from fleet.errors import RegistryError
from fleet.images.digest import Digest
from fleet.images.platform import Platform
from fleet.registry.client import RegistryClient
from fleet.registry.image_config import CONFIG_CAP_BYTES, image_config
from fleet.registry.manifest import DOCKER_MANIFEST
from fleet.testing.faults import Fault
from fleet.testing.registry import ScriptedRegistry
from tests.registry.asking import address_of, with_client

APP = "org/app"
AMD64, ARM64 = Platform("linux", "amd64"), Platform("linux", "arm64", "v8")
CONFIG: dict[str, Any] = {
    "Env": ["PATH=/bin"],
    "Cmd": ["serve"],
    "User": "app",
    "Labels": {"org.acme": "1"},
    "Volumes": {"/data": {}},
}


def read(registry: ScriptedRegistry, digest: Digest, platform: Platform = AMD64) -> dict[str, Any]:
    """Return what the image says."""

    async def ask(client: RegistryClient) -> dict[str, Any]:
        return await image_config(client, APP, digest, platform)

    return with_client(address_of(registry), ask)


def with_config(registry: ScriptedRegistry, content: bytes) -> Digest:
    """Serve an image whose configuration is *content*."""
    config = registry.shelf.add_blob(APP, content)
    manifest = {
        "schemaVersion": 2,
        "mediaType": DOCKER_MANIFEST,
        "config": {
            "mediaType": "application/vnd.docker.container.image.v1+json",
            "size": len(content),
            "digest": str(config),
        },
        "layers": [],
    }
    return registry.shelf.add_manifest(APP, json.dumps(manifest).encode(), DOCKER_MANIFEST)


def test_what_an_engine_takes_over_is_told_and_nothing_else(registry: ScriptedRegistry) -> None:
    config = {**CONFIG, "Entrypoint": None, "OnBuild": ["RUN x"], "Image": "sha256:0"}
    assert read(registry, registry.shelf.add_image(APP, "1", config=config)) == CONFIG


def test_of_several_platforms_the_one_that_is_meant_is_read(registry: ScriptedRegistry) -> None:
    index = registry.shelf.add_image(APP, "1", platforms=[AMD64, ARM64], config=CONFIG)
    assert read(registry, index, ARM64) == CONFIG
    with pytest.raises(RegistryError, match="cannot find an image for linux/s390x"):
        read(registry, index, Platform("linux", "s390x"))


def test_other_bytes_than_the_manifest_names_are_refused(registry: ScriptedRegistry) -> None:
    digest = registry.shelf.add_image(APP, "1", config=CONFIG)
    registry.faults.add(Fault.WRONG_BYTES, kind="blobs")
    with pytest.raises(RegistryError, match=r"cannot trust the blob that .*: its bytes are others"):
        read(registry, digest)


def test_a_configuration_that_is_not_there_is_told(registry: ScriptedRegistry) -> None:
    digest = registry.shelf.add_image(APP, "1", config=CONFIG)
    registry.faults.add(Fault.STATUS, kind="blobs", status=404)
    with pytest.raises(RegistryError, match="it is not there"):
        read(registry, digest)


def test_one_that_is_larger_than_any_is_not_read_to_its_end(registry: ScriptedRegistry) -> None:
    with pytest.raises(RegistryError, match="cannot take more than"):
        read(registry, with_config(registry, b"x" * (CONFIG_CAP_BYTES + 1)))


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        (b"{", "it is not JSON"),
        (b"[" * 200_000, "it is not JSON"),
        (b'{"config": []}', "its config is no object"),
        (b'{"config": {"Env": "A=1"}}', "its Env is of another kind"),
        (b'{"config": {"Cmd": ["serve", 1]}}', "its Cmd is of another kind"),
        (b'{"config": {"Labels": ["a"]}}', "its Labels is of another kind"),
        (b'{"config": {"User": 0}}', "its User is of another kind"),
    ],
)
def test_one_that_cannot_be_read_says_why(registry: ScriptedRegistry, content: bytes, wrong: str) -> None:
    with pytest.raises(RegistryError, match=f"cannot read the configuration of {APP}@sha256:.*: {wrong}"):
        read(registry, with_config(registry, content))


@pytest.mark.parametrize("content", [b"[]", b"null", b"{}", b'{"config": null}'])
def test_one_that_says_nothing_says_nothing(registry: ScriptedRegistry, content: bytes) -> None:
    assert read(registry, with_config(registry, content)) == {}
