"""Each fault does over a socket what its name says, to a client that knows nothing of Fleet."""

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fleet.errors import BadInput
from fleet.images.digest import Digest
from fleet.registry.manifest import Manifest
from fleet.testing.faults import Fault, FaultRule, FaultScript
from fleet.testing.gatekeeper import Access
from fleet.testing.registry import ScriptedRegistry
from tests.testing.conftest import Fetch, Got

APP = "org/app"
LAYER = bytes(range(256)) * 40
BLOB = f"/v2/{APP}/blobs/{Digest.of(LAYER)}"
TAG = f"/v2/{APP}/manifests/1"


@pytest.fixture(autouse=True)
def image(registry: ScriptedRegistry) -> Digest:
    """Serve one image of one layer, whose tag named another one before."""
    registry.shelf.add_image(APP, "1", layers=[b"older"])
    return registry.shelf.add_image(APP, "1", layers=[LAYER])


def no_answer(registry: ScriptedRegistry, fetch: Fetch, image: Digest) -> None:
    """The connection ends without one byte."""
    with pytest.raises(http.client.RemoteDisconnected):
        fetch(BLOB)
    assert registry.log[-1].status == 0


def silence(registry: ScriptedRegistry, fetch: Fetch, image: Digest) -> None:
    """The connection stays and nothing comes."""
    with pytest.raises(TimeoutError):
        fetch(BLOB, timeout=0.3)


def late(registry: ScriptedRegistry, fetch: Fetch, image: Digest) -> None:
    """The whole answer, but not at once."""
    started = time.monotonic()
    assert fetch(BLOB).body == LAYER
    assert time.monotonic() - started >= 0.2


def an_error(registry: ScriptedRegistry, fetch: Fetch, image: Digest) -> None:
    """The status, its Retry-After, and the distribution API's error form."""
    got = fetch(BLOB)
    assert (got.status, got.headers["retry-after"]) == (503, "9")
    assert json.loads(got.body)["errors"][0]["code"] == "SCRIPTED"


def stops(registry: ScriptedRegistry, fetch: Fetch, image: Digest) -> None:
    """The body up to the byte, then nothing, and the connection stays."""
    got = fetch(BLOB, timeout=1.5)
    assert (got.status, got.body, got.broken) == (200, LAYER[:1000], "stalled")


def drips(registry: ScriptedRegistry, fetch: Fetch, image: Digest) -> None:
    """The body up to the byte, and then a chunk's size that comes on and on, so that the line is never silent."""
    with socket.create_connection(("127.0.0.1", registry.port), timeout=60) as line:
        line.sendall(f"GET {BLOB} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        came = b""
        while not came.endswith(b"\r\n00"):
            came += line.recv(65536)
    assert LAYER[:1000] + b"\r\n00" in came


def waits_for_the_word(registry: ScriptedRegistry, fetch: Fetch, image: Digest) -> None:
    """The test hears when the byte is reached, and says when the rest may come."""
    answers: list[Got] = []
    asking = threading.Thread(target=lambda: answers.append(fetch(BLOB)))
    asking.start()
    assert registry.pause.wait(60)
    assert answers == []
    registry.go.set()
    asking.join(60)
    assert answers[0].body == LAYER


def ends_early(registry: ScriptedRegistry, fetch: Fetch, image: Digest) -> None:
    """The body up to the byte, then the connection's end, below the announced length."""
    got = fetch(BLOB)
    assert (got.body, got.broken) == (LAYER[:1000], "cut")
    assert int(got.headers["content-length"]) == len(LAYER)
    assert registry.log[-1].sent == 1000


def no_byte(registry: ScriptedRegistry, fetch: Fetch, image: Digest) -> None:
    """A good header and not one byte."""
    got = fetch(BLOB)
    assert (got.status, got.body, got.broken) == (200, b"", "cut")


def trickles(registry: ScriptedRegistry, fetch: Fetch, image: Digest) -> None:
    """All of it, by the rate."""
    started = time.monotonic()
    assert fetch(BLOB).body == LAYER
    assert time.monotonic() - started >= 0.9 * len(LAYER) / 40_000


def wrong(registry: ScriptedRegistry, fetch: Fetch, image: Digest) -> None:
    """The right size under the right digest, and no byte of it right."""
    got = fetch(BLOB)
    assert len(got.body) == len(LAYER)
    assert got.headers["docker-content-digest"] == str(Digest.of(LAYER))
    assert all(one != other for one, other in zip(got.body, LAYER, strict=True))


def wrong_and_cut(registry: ScriptedRegistry, fetch: Fetch, image: Digest) -> None:
    """Wrong bytes, then the end: what poisons a download that goes on behind them."""
    got = fetch(BLOB)
    assert (len(got.body), got.broken) == (1000, "cut")
    assert got.body != LAYER[:1000]


def forged(registry: ScriptedRegistry, fetch: Fetch, image: Digest) -> None:
    """A manifest that reads well and is another, under the header of the right one; blobs are let be."""
    got = fetch(TAG)
    assert got.headers["docker-content-digest"] == str(image)
    assert Manifest.read(got.body).digest != image
    assert fetch(BLOB).body == LAYER


def as_before(registry: ScriptedRegistry, fetch: Fetch, image: Digest) -> None:
    """The tag is what it was, honestly labelled; by digest the new one is there."""
    got = fetch(TAG)
    assert got.headers["docker-content-digest"] == str(Digest.of(got.body)) != str(image)
    assert Digest.of(fetch(f"/v2/{APP}/manifests/{image}").body) == image


def unnamed(registry: ScriptedRegistry, fetch: Fetch, image: Digest) -> None:
    """The right bytes without the header, for HEAD and GET."""
    assert "docker-content-digest" not in fetch(TAG, method="HEAD").headers
    got = fetch(TAG)
    assert "docker-content-digest" not in got.headers
    assert Digest.of(got.body) == image


def misnamed(registry: ScriptedRegistry, fetch: Fetch, image: Digest) -> None:
    """The right bytes under the name of others."""
    got = fetch(TAG)
    assert got.headers["docker-content-digest"] != str(image) == str(Digest.of(got.body))


def without_head(registry: ScriptedRegistry, fetch: Fetch, image: Digest) -> None:
    """HEAD is not allowed, GET is."""
    assert (fetch(TAG, method="HEAD").status, fetch(TAG).status) == (405, 200)


def unsized(registry: ScriptedRegistry, fetch: Fetch, image: Digest) -> None:
    """All bytes, and no length."""
    got = fetch(BLOB)
    assert (got.body, got.headers["transfer-encoding"]) == (LAYER, "chunked")
    assert "content-length" not in got.headers


def all_of_it(registry: ScriptedRegistry, fetch: Fetch, image: Digest) -> None:
    """A Range is answered with 200 and everything."""
    got = fetch(BLOB, Range="bytes=100-")
    assert (got.status, got.body) == (200, LAYER)


def mislabelled(registry: ScriptedRegistry, fetch: Fetch, image: Digest) -> None:
    """The stored bytes, called gzip on the way."""
    got = fetch(BLOB)
    assert (got.headers["content-encoding"], got.body) == ("gzip", LAYER)


def elsewhere(registry: ScriptedRegistry, fetch: Fetch, image: Digest) -> None:
    """The same path of another server."""
    got = fetch(BLOB)
    assert (got.status, got.headers["location"]) == (307, f"http://store.lan{BLOB}")


def in_circles(registry: ScriptedRegistry, fetch: Fetch, image: Digest) -> None:
    """The same path again."""
    assert fetch(BLOB).headers["location"] == BLOB


def to_less(registry: ScriptedRegistry, fetch: Fetch, image: Digest) -> None:
    """The same place without TLS."""
    assert fetch(BLOB).headers["location"] == f"http://{registry.host}{BLOB}"


def forgotten(registry: ScriptedRegistry, fetch: Fetch, image: Digest) -> None:
    """The body is cut, and the token that was good for it is good for nothing."""
    registry.gatekeeper.access = Access(scheme="bearer")
    bearer = f"Bearer {json.loads(fetch('/token').body)['token']}"
    got = fetch(BLOB, Authorization=bearer)
    assert (got.status, got.body, got.broken) == (200, LAYER[:1000], "cut")
    assert fetch(BLOB, Authorization=bearer).status == 401


def without_end(registry: ScriptedRegistry, fetch: Fetch, image: Digest) -> None:
    """More than there is, for as long as one reads."""
    got = fetch(BLOB, most=1 << 19)
    assert got.body.startswith(LAYER)
    assert len(got.body) >= 1 << 19


Proof = Callable[[ScriptedRegistry, Fetch, Digest], None]
PROOFS: dict[Fault, tuple[Proof, dict[str, object]]] = {
    Fault.CLOSE: (no_answer, {}),
    Fault.HANG: (silence, {}),
    Fault.DELAY: (late, {"seconds": 0.2}),
    Fault.STATUS: (an_error, {"status": 503, "retry_after": "9"}),
    Fault.STALL: (stops, {"at": 1000}),
    Fault.DRIP: (drips, {"at": 1000}),
    Fault.PAUSE: (waits_for_the_word, {"at": 1000}),
    Fault.CUT: (ends_early, {"at": 1000}),
    Fault.ZERO_BYTES: (no_byte, {"at": 1000}),
    Fault.SLOW: (trickles, {"rate": 40_000}),
    Fault.WRONG_BYTES: (wrong, {}),
    Fault.WRONG_PREFIX: (wrong_and_cut, {"at": 1000}),
    Fault.OTHER_MANIFEST: (forged, {}),
    Fault.STALE_TAG: (as_before, {}),
    Fault.NO_DIGEST: (unnamed, {}),
    Fault.LYING_DIGEST: (misnamed, {}),
    Fault.NO_HEAD: (without_head, {}),
    Fault.CHUNKED: (unsized, {}),
    Fault.NO_RANGE: (all_of_it, {}),
    Fault.ENCODED: (mislabelled, {}),
    Fault.REDIRECT: (elsewhere, {"location": "http://store.lan"}),
    Fault.REDIRECT_LOOP: (in_circles, {}),
    Fault.REDIRECT_TO_HTTP: (to_less, {}),
    Fault.TOKEN_EXPIRES: (forgotten, {"at": 1000, "kind": "blobs"}),
    Fault.ENDLESS: (without_end, {}),
}


@pytest.mark.parametrize("fault", Fault)
def test_a_fault_does_what_it_says(fault: Fault, registry: ScriptedRegistry, fetch: Fetch, image: Digest) -> None:
    """A member without a proof here fails: a fault that does nothing would make every test that uses it pass."""
    proof, fields = PROOFS[fault]
    registry.faults.add(fault, **fields)
    proof(registry, fetch, image)
    assert any(str(fault) in entry.faults for entry in registry.log) or registry.log == []


def test_a_fault_strikes_only_what_it_is_about(registry: ScriptedRegistry, fetch: Fetch, image: Digest) -> None:
    """Kind, repository, tail and method narrow it down, by shell wildcards."""
    registry.faults.add(Fault.STATUS, kind="blobs", repository="org/*", tail="sha256:*", method="GET")
    assert fetch(BLOB).status == 500
    assert fetch(BLOB, method="HEAD").status == 200
    assert fetch(TAG).status == 200
    assert fetch("/v2/").status == 200


def test_a_fault_strikes_a_counted_number_of_times(registry: ScriptedRegistry, fetch: Fetch, image: Digest) -> None:
    """After so many good answers, so many bad ones, then good ones again."""
    registry.faults.add(Fault.STATUS, kind="blobs", after=1, times=2)
    assert [fetch(BLOB).status for _ in range(5)] == [200, 500, 500, 200, 200]
    registry.faults.add(Fault.STATUS, kind="blobs")
    assert fetch(BLOB).status == 500
    registry.faults.clear()
    assert fetch(BLOB).status == 200


def test_two_faults_work_together(registry: ScriptedRegistry, fetch: Fetch, image: Digest) -> None:
    """A chunked body can be cut, and a cut one has no end."""
    registry.faults.add(Fault.CHUNKED)
    registry.faults.add(Fault.CUT, at=500)
    got = fetch(BLOB)
    assert (got.body, got.broken) == (LAYER[:500], "cut")


def test_a_script_is_read_again_when_it_changes(tmp_path: Path, image: Digest) -> None:
    """A lab's script steers a registry that runs as a process."""
    script = tmp_path / "faults.json"
    script.write_text('{"rules": [{"fault": "close", "kind": "blobs", "times": 1}]}')
    faults = FaultScript(script)
    assert list(faults.strike("GET", "blobs", APP, "x")) == [Fault.CLOSE]
    assert faults.strike("GET", "blobs", APP, "x") == {}
    script.write_text('{"rules": [{"fault": "status", "status": 418}]}')
    assert faults.strike("GET", "tags", APP, "list")[Fault.STATUS].status == 418
    script.write_text("{}")
    assert faults.strike("GET", "tags", APP, "list") == {}


def test_a_half_written_script_leaves_the_rules_as_they_were(tmp_path: Path) -> None:
    """The registry reads while the lab writes."""
    script = tmp_path / "faults.json"
    script.write_text('{"rules": [{"fault": "close"}]}')
    faults = FaultScript(script)
    script.write_text('{"rules": [{"fa')
    assert list(faults.strike("GET", "blobs", APP, "x")) == [Fault.CLOSE]
    script.write_text('{"rules": [{"fault": "hang"}]}')
    assert list(faults.strike("GET", "blobs", APP, "x")) == [Fault.HANG]


@pytest.mark.parametrize("rule", [{}, {"fault": "sulk"}, {"fault": "cut", "where": 3}, {"kind": "blobs"}])
def test_a_rule_that_is_none_is_refused(rule: dict[str, object]) -> None:
    """A slip in a script is an error that names what is known."""
    with pytest.raises(BadInput, match=r"^cannot use"):
        FaultRule.read(rule)


def test_a_tls_client_is_told_at_once_that_there_is_no_tls(registry: ScriptedRegistry) -> None:
    """containerd falls back to plain http only where the answer to its hello begins with HTTP."""
    host, _, port = registry.host.partition(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(b"\x16\x03\x01\x02\x00hello")
        assert connection.recv(100).startswith(b"HTTP/1.0 400")
