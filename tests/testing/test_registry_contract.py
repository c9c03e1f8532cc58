"""The scriptable registry and a real one (distribution's docker-registry) answer the same pulls in the same way."""

import asyncio
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar
from urllib.parse import urljoin

import pytest

from fleet.errors import RegistryError
from fleet.images.digest import Digest
from fleet.images.platform import Platform
from fleet.images.reference import Reference
from fleet.registry.address import Address
from fleet.registry.client import RegistryClient
from fleet.registry.manifest import DOCKER_INDEX, DOCKER_MANIFEST
from fleet.registry.proxies import Proxies
from fleet.testing.images import BuiltManifest, build_image, build_index, tar_layer
from fleet.testing.registry import ScriptedRegistry
from tests import needs
from tests.ports import free_port

T = TypeVar("T")
APP = "library/nested/app"
LAYER = tar_layer({"etc/app": b"content" * 3000})


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One registry, real or not."""

    url: str

    def ask(self, question: Callable[[RegistryClient], Awaitable[T]]) -> T:
        """Put *question* to a client of this registry."""

        async def asked() -> T:
            client = RegistryClient(Address(scheme="http", host=self.url.partition("://")[2]), proxies=Proxies())
            try:
                return await question(client)
            finally:
                await client.aclose()

        return asyncio.run(asked())

    def push(self, built: BuiltManifest, tail: str) -> None:
        """Push *built* as any client would."""
        for child in built.children:
            self.push(child, str(child.digest))
        for digest, content in built.blobs.items():
            started = self._send("POST", f"{self.url}/v2/{APP}/blobs/uploads/", b"", "")
            place = urljoin(self.url, started)
            join = "&" if "?" in place else "?"
            self._send("PUT", f"{place}{join}digest={digest}", content, "application/octet-stream")
        self._send("PUT", f"{self.url}/v2/{APP}/manifests/{tail}", built.raw, built.media_type)

    def _send(self, method: str, url: str, body: bytes, media_type: str) -> str:
        request = urllib.request.Request(url, data=body, method=method)
        if media_type:
            request.add_header("Content-Type", media_type)
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status in (201, 202)
            return str(answer.headers["Location"])


def start_distribution(folder: Path, stack: ExitStack, **more: object) -> Server:
    """Run docker-registry with its storage under *folder*, and *more* in its configuration."""
    binary = shutil.which("docker-registry") or needs.missing("docker-registry", "apt-get install docker-registry")
    host = f"127.0.0.1:{free_port()}"
    config = {
        "version": 0.1,
        "log": {"accesslog": {"disabled": True}, "level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "store")}},
        "http": {"addr": host},
        **more,
    }
    file = folder / "config.yml"
    file.write_text(json.dumps(config))  # YAML is a superset of JSON
    out = stack.enter_context((folder / "registry.log").open("wb"))
    process = subprocess.Popen([binary, "serve", str(file)], stdout=out, stderr=out)
    stack.callback(process.wait, 60)
    stack.callback(process.terminate)
    server, deadline = Server(url=f"http://{host}"), time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(f"{server.url}/v2/", timeout=5).close()
            return server
        except OSError:
            assert time.monotonic() < deadline and process.poll() is None, (folder / "registry.log").read_text()
            time.sleep(0.05)


@pytest.fixture(scope="module", params=["scripted", "distribution"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Run one registry of each kind, for all tests of this file."""
    with ExitStack() as stack:
        if request.param == "scripted":
            yield Server(url=stack.enter_context(ScriptedRegistry()).url)
        else:
            yield start_distribution(tmp_path_factory.mktemp("distribution"), stack)


@pytest.fixture(scope="module")
def image(server: Server) -> BuiltManifest:
    """Push one image as ``:single``."""
    built = build_image([LAYER])
    server.push(built, "single")
    return built


@pytest.fixture(scope="module")
def index(server: Server) -> BuiltManifest:
    """Push images for two platforms under one index as ``:multi``."""
    images = [
        build_image([tar_layer({"arch": name.encode()})], platform=Platform("linux", name))
        for name in ("amd64", "arm64")
    ]
    built = build_index(images)
    server.push(built, "multi")
    return built


def test_it_answers(server: Server) -> None:
    """The ping of the API is 200."""
    assert server.ask(lambda client: client.ping()) == 200


@pytest.mark.parametrize("by", ["tag", "digest"])
def test_a_manifest_resolves(server: Server, image: BuiltManifest, by: str) -> None:
    """HEAD names digest, type and size, by tag and by digest."""
    name = f"{APP}:single" if by == "tag" else f"{APP}@{image.digest}"
    resolved = server.ask(lambda client: client.resolve(Reference.parse(name)))
    assert (resolved.digest, resolved.media_type, resolved.size) == (image.digest, DOCKER_MANIFEST, len(image.raw))


def test_an_index_resolves_and_leads_to_each_platform(server: Server, index: BuiltManifest) -> None:
    """One digest for the tag, whole images behind it for amd64 and arm64."""
    assert server.ask(lambda client: client.resolve(Reference.parse(f"{APP}:multi"))).media_type == DOCKER_INDEX
    manifest = server.ask(lambda client: client.manifest(APP, "multi"))
    assert (manifest.digest, manifest.raw) == (index.digest, index.raw)
    for name, built in zip(("amd64", "arm64"), index.children, strict=True):
        chosen = manifest.choose(Platform("linux", name))
        assert chosen is not None
        assert chosen.digest == built.digest
        assert server.ask(partial(RegistryClient.manifest, repository=APP, tail=chosen.digest)).raw == built.raw


@pytest.mark.parametrize(
    ("wanted", "status", "body"),
    [
        ("", 200, LAYER),
        ("bytes=100-", 206, LAYER[100:]),
        ("bytes=5-9", 206, LAYER[5:10]),
        (f"bytes={len(LAYER)}-", 416, None),
    ],
)
def test_a_blob_and_its_parts(
    server: Server, image: BuiltManifest, wanted: str, status: int, body: bytes | None
) -> None:
    """All of it, the rest of it, a piece, and nothing behind its end."""

    async def ask(client: RegistryClient) -> tuple[int, bytes]:
        headers = {"Range": wanted} if wanted else {}
        async with client.open("GET", "blobs", APP, str(Digest.of(LAYER)), headers=headers) as answer:
            # distribution announces a body with its 416 and sends none.
            return answer.status, await answer.read(1 << 20) if answer.status < 300 else b""

    got_status, got = server.ask(ask)
    assert got_status == status
    assert body is None or got == body


@pytest.mark.parametrize("tail", ["none", str(Digest.of(b"nothing"))])
def test_what_is_not_there_is_404(server: Server, image: BuiltManifest, tail: str) -> None:
    """A missing tag and a missing digest end in the same error."""
    with pytest.raises(RegistryError, match="it is not there") as caught:
        server.ask(lambda client: client.manifest(APP, tail))
    assert caught.value.status == 404


def test_a_tag_moves(server: Server) -> None:
    """After a second push the tag is the second image, and the first is still there by digest."""
    built = [build_image([tar_layer({"version": version})]) for version in (b"1", b"2")]
    for one in built:
        server.push(one, "moving")
        resolved = server.ask(lambda client: client.resolve(Reference.parse(f"{APP}:moving")))
        assert resolved.digest == one.digest
    assert server.ask(lambda client: client.manifest(APP, built[0].digest)).raw == built[0].raw
