"""The scriptable registry is a registry: it serves what it holds, takes pushes, writes down who asked, and runs alone."""

import gzip
import http.client
import json
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from fleet.images.digest import Digest
from fleet.images.platform import Platform
from fleet.registry.manifest import DOCKER_INDEX, OCI_INDEX, Manifest
from fleet.testing.images import build_image, build_index, tar_layer
from fleet.testing.registry import ScriptedRegistry
from fleet.testing.upstream import Upstream
from tests.ports import free_port
from tests.testing.conftest import Fetch

APP = "org/app"


def test_it_serves_what_it_holds(registry: ScriptedRegistry, fetch: Fetch) -> None:
    """Tag, digest, blob and list of tags; what it does not hold is 404 with the API's code."""
    digest = registry.shelf.add_image(APP, "1", layers=[b"layer"])
    by_tag, by_digest = fetch(f"/v2/{APP}/manifests/1"), fetch(f"/v2/{APP}/manifests/{digest}")
    assert by_tag.body == by_digest.body
    assert by_tag.headers["docker-content-digest"] == str(digest)
    assert fetch(f"/v2/{APP}/blobs/{Digest.of(b'layer')}").body == b"layer"
    assert json.loads(fetch(f"/v2/{APP}/tags/list").body) == {"name": APP, "tags": ["1"]}
    for path, code in (
        (f"/v2/{APP}/manifests/2", "MANIFEST_UNKNOWN"),
        (f"/v2/{APP}/blobs/{Digest.of(b'other')}", "BLOB_UNKNOWN"),
        ("/v2/none/tags/list", "NAME_UNKNOWN"),
        ("/elsewhere", "NAME_UNKNOWN"),
    ):
        got = fetch(path)
        assert (got.status, json.loads(got.body)["errors"][0]["code"]) == (404, code)


def test_head_has_the_length_and_no_body(registry: ScriptedRegistry, fetch: Fetch) -> None:
    """A HEAD tells what a GET would send."""
    digest = registry.shelf.add_image(APP, "1")
    size = len(registry.shelf.repository(APP).manifests[digest][1])
    got = fetch(f"/v2/{APP}/manifests/1", method="HEAD")
    assert (got.status, got.body, int(got.headers["content-length"])) == (200, b"", size)


@pytest.mark.parametrize(
    ("wanted", "status", "body", "content_range"),
    [
        ("bytes=2-4", 206, b"234", "bytes 2-4/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=-3", 206, b"789", "bytes 7-9/10"),
        ("bytes=5-99", 206, b"56789", "bytes 5-9/10"),
        ("bytes=0-0", 206, b"0", "bytes 0-0/10"),
        ("bytes=10-", 416, b"", "bytes */10"),
        ("bytes=1-2,4-5", 200, b"0123456789", None),
        ("bytes=x-", 200, b"0123456789", None),
        ("lines=1-2", 200, b"0123456789", None),
    ],
)
def test_ranges(
    registry: ScriptedRegistry, fetch: Fetch, wanted: str, status: int, body: bytes, content_range: str | None
) -> None:
    """RFC 9110: one range is served, none left is 416, and what cannot be read is ignored."""
    digest = registry.shelf.add_blob(APP, b"0123456789")
    got = fetch(f"/v2/{APP}/blobs/{digest}", Range=wanted)
    assert (got.status, got.body, got.headers.get("content-range")) == (status, body, content_range)


def test_it_takes_pushes(registry: ScriptedRegistry, fetch: Fetch) -> None:
    """A blob by POST and PUT, then a manifest by PUT, and a wrong digest is refused."""
    built = build_image([b"layer"])
    for digest, content in built.blobs.items():
        place = fetch(f"/v2/{APP}/blobs/uploads/", method="POST").headers["location"]
        assert fetch(f"{place}?digest={digest}", method="PUT", body=content).status == 201
    place = fetch(f"/v2/{APP}/blobs/uploads/", method="POST").headers["location"]
    assert fetch(f"{place}?digest={Digest.of(b'other')}", method="PUT", body=b"x").status == 400
    pushed = fetch(f"/v2/{APP}/manifests/1", method="PUT", body=built.raw, Content_Type=built.media_type)
    assert (pushed.status, pushed.headers["docker-content-digest"]) == (201, str(built.digest))
    assert fetch(f"/v2/{APP}/manifests/1").headers["content-type"] == built.media_type


def test_the_log_has_each_request(registry: ScriptedRegistry, fetch: Fetch) -> None:
    """Who asked what, with which headers, and how much left."""
    digest = registry.shelf.add_blob(APP, b"0123456789")
    fetch(f"/v2/{APP}/blobs/{digest}?ns=docker.io", Range="bytes=8-", X_Who="test")
    (entry,) = registry.asked("blobs")
    assert (entry.client, entry.method, entry.repository, entry.tail) == ("127.0.0.1", "GET", APP, str(digest))
    assert (dict(entry.query), entry.headers["x-who"], entry.status, entry.sent) == (
        {"ns": "docker.io"},
        "test",
        206,
        2,
    )


def test_going_down_refuses_and_coming_up_serves_the_same(registry: ScriptedRegistry, fetch: Fetch) -> None:
    """The port and what is held stay."""
    registry.shelf.add_image(APP, "1")
    with registry.down(), pytest.raises(ConnectionRefusedError):
        fetch("/v2/")
    assert fetch(f"/v2/{APP}/manifests/1").status == 200


def test_dropping_ends_open_connections(registry: ScriptedRegistry) -> None:
    """A client with a kept connection learns that it is gone."""
    with socket.create_connection(("127.0.0.1", registry.port), timeout=60) as connection:
        connection.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = b""
        while not answer.endswith(b"{}"):
            answer += connection.recv(1000)
        registry.drop()
        assert connection.recv(1000) == b""


@pytest.mark.parametrize("garbage", [b"hello\r\n\r\n", b"GET /v2/\r\n\r\n", b"A" * 100_000 + b"\r\n\r\n"])
def test_garbage_is_answered_and_the_next_client_served(
    registry: ScriptedRegistry, fetch: Fetch, garbage: bytes
) -> None:
    """Nothing that a client says stops the registry."""
    with socket.create_connection(("127.0.0.1", registry.port), timeout=60) as connection:
        connection.sendall(garbage)
        try:
            answer = connection.recv(100)
        except ConnectionResetError:
            answer = b""
    assert answer[:12] in (b"HTTP/1.0 400", b"")
    assert fetch("/v2/").status == 200


def test_an_upstream_is_asked_once_for_bytes_and_anew_for_tags(registry: ScriptedRegistry) -> None:
    """As a pull-through cache: blobs and digests are kept, a tag is looked up each time."""
    first = registry.shelf.add_image(APP, "1", layers=[b"layer"])
    with ScriptedRegistry(upstream=Upstream(registry.url)) as cache:

        def get(tail: str) -> bytes:
            with urllib.request.urlopen(f"{cache.url}/v2/{APP}/{tail}", timeout=5) as answer:
                return bytes(answer.read())

        assert Digest.of(get("manifests/1")) == first
        assert get(f"blobs/{Digest.of(b'layer')}") == get(f"blobs/{Digest.of(b'layer')}") == b"layer"
        second = registry.shelf.add_image(APP, "1", layers=[b"newer"])
        assert Digest.of(get("manifests/1")) == second
        assert Digest.of(get(f"manifests/{first}")) == first
    assert [len(registry.asked(kind)) for kind in ("blobs", "manifests")] == [1, 2]


def test_a_stale_tag_needs_an_older_one(registry: ScriptedRegistry) -> None:
    """A tag that was pushed once has no past; pushing the same again makes none."""
    shelf = registry.shelf
    for _ in range(2):
        only = shelf.add_image(APP, "1", layers=[b"a"])
    found = shelf.manifest(APP, "1", stale=True)
    assert found is not None
    assert found[0] == only


def test_images_of_several_platforms_are_an_index() -> None:
    """One tag, one index, a manifest for each, and the same input gives the same digest."""
    platforms = [Platform("linux", "amd64"), Platform("linux", "arm", "v7")]
    built = [build_image([tar_layer({"a": b"1"})], platform=platform) for platform in platforms]
    for oci, media_type in ((False, DOCKER_INDEX), (True, OCI_INDEX)):
        index = build_index(built, oci=oci)
        manifest = Manifest.read(index.raw, index.media_type)
        assert (manifest.media_type, [entry.platform for entry in manifest.entries]) == (media_type, platforms)
        assert index.digest == build_index(built, oci=oci).digest


def test_a_layers_diff_id_is_that_of_the_unpacked_tar() -> None:
    """Engines check it when they unpack."""
    layer = tar_layer({"etc/app": b"1"})
    built = build_image([layer], config={"Cmd": ["/bin/true"]})
    config = next(json.loads(blob) for blob in built.blobs.values() if blob.startswith(b"{"))
    assert config["rootfs"]["diff_ids"] == [str(Digest.of(gzip.decompress(layer)))]
    assert config["config"] == {"Cmd": ["/bin/true"]}


def test_it_runs_as_a_process_of_its_own(registry: ScriptedRegistry, tmp_path: Path) -> None:
    """With an upstream, a script, a password and an access log, and it ends when it is told to."""
    registry.shelf.add_image(APP, "1")
    port, log, script = free_port(), tmp_path / "access.jsonl", tmp_path / "faults.json"
    script.write_text('{"rules": [{"fault": "no_head"}]}')
    given = ["--port", str(port), "--upstream", registry.url, "--access-log", str(log), "--script", str(script)]
    command = [sys.executable, "-m", "fleet.testing.registry", *given, "--user", "ann:pw"]
    process = subprocess.Popen(command)
    try:
        deadline = time.monotonic() + 60
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            try:
                connection.request("GET", f"/v2/{APP}/manifests/1", headers={"Authorization": "Basic YW5uOnB3"})
                assert connection.getresponse().status == 200
                break
            except ConnectionRefusedError:
                assert time.monotonic() < deadline, "the registry did not come up"
                time.sleep(0.1)
            finally:
                connection.close()
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert json.loads(log.read_text().splitlines()[-1])["tail"] == "1"
