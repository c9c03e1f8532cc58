"""The gateway serves an active pull to whoever knows its secret, and nothing else."""

import http.client
import socket
import threading
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from fleet.clock import SystemClock
from fleet.gateway.fetch import Fetch
from fleet.gateway.server import Gateway
from fleet.gateway.take import Taking
from fleet.images.digest import Digest
from fleet.images.platform import Platform
from fleet.images.reference import Reference
from fleet.mirrors.policy import parse_mirrors
from fleet.mirrors.table import MirrorTable
from fleet.testing.faults import Fault
from fleet.testing.images import build_image, build_index
from tests.gateway.docking import Dock, PullFailed
from tests.gateway.harbour import HANG_S, HANGING, LAYERS, PATIENT, Harbour, Logins, served

BIG = str(Digest.of(LAYERS[0]))


def test_the_first_mirror_serves_everything(harbour: Harbour) -> None:
    dock, attempts = harbour.pull()
    assert set(LAYERS) <= set(dock.blobs.values())
    assert [a.result for a in attempts] == ["served", "unused", "unused"]
    assert attempts[0].bytes == sum(map(len, dock.blobs.values())) == served(harbour.mirrors[0])
    assert attempts[0].verified
    assert harbour.origin.log == []


def test_without_the_secret_nothing_is_served(harbour: Harbour) -> None:
    _, dock = harbour.open()
    for auth in ({}, {"username": "fleet", "password": "guess"}):
        status, headers, _ = Dock(harbour.gateway.host, auth).ask("GET", "/v2/")
        assert (status, headers["www-authenticate"]) == (401, 'Basic realm="fleet"')
    assert dock.ask("GET", "/v2/")[0] == 200
    assert dock.ask("DELETE", "/v2/")[0] == 405


def test_a_tls_hello_is_answered_in_http(harbour: Harbour) -> None:
    """containerd tries TLS first, and plain http only where the answer begins with HTTP."""
    with socket.create_connection(("127.0.0.1", harbour.gateway.port)) as line:
        line.sendall(bytes.fromhex("16030100c8010000c40303") + bytes(190))
        assert line.recv(64).startswith(b"HTTP/1.")


def test_referrers_and_tags_are_not_there(harbour: Harbour) -> None:
    session, dock = harbour.open()
    assert dock.ask("GET", f"/v2/{session.name}/referrers/{harbour.digest}")[0] == 404
    assert dock.ask("GET", f"/v2/{session.name}/manifests/1")[0] == 404


def test_an_engine_may_resume_by_range(harbour: Harbour) -> None:
    session, dock = harbour.open()
    dock.manifest(session.name, str(harbour.digest))
    path = f"/v2/{session.name}/blobs/{BIG}"
    assert dock.ask("HEAD", path)[1]["content-length"] == "300000"
    status, headers, body = dock.ask("GET", path, Range="bytes=299990-")
    assert (status, headers["content-range"], body) == (206, "bytes 299990-299999/300000", LAYERS[0][-10:])
    assert dock.ask("GET", path, Range="bytes=300000-")[0] == 416


def test_an_index_passes_unchanged_and_the_engine_chooses(harbour: Harbour) -> None:
    arm = build_image([b"arm"], platform=Platform("linux", "arm64"))
    index = build_index([arm, build_image(LAYERS)], oci=True)
    for registry in (*harbour.mirrors, harbour.origin):
        harbour.digest = registry.shelf.add("org/app", index, "2")
    dock, attempts = harbour.pull()
    assert dock.blobs[str(index.digest)] == index.raw
    assert attempts[0].bytes == served(harbour.mirrors[0])
    assert str(arm.digest) not in {entry.tail for entry in harbour.mirrors[0].log}


def test_manifests_fetched_before_the_engine_asks_are_not_fetched_again(harbour: Harbour) -> None:
    session, dock = harbour.open()
    harbour.gateway.submit(session.prepare(Platform("linux", "amd64"))).result(60)
    dock.pull(session.name, str(harbour.digest))
    harbour.gateway.end(session)
    assert [e.kind for e in harbour.mirrors[0].log].count("manifests") == 1
    assert session.attempts()[0].bytes == served(harbour.mirrors[0])


def test_one_digest_is_fetched_once_for_all_who_want_it(harbour: Harbour) -> None:
    one, _ = harbour.mirrors
    one.faults.add(Fault.DELAY, kind="blobs", seconds=0.3)
    docks = [harbour.open() for _ in range(3)]
    threads = [threading.Thread(target=dock.pull, args=(s.name, str(harbour.digest))) for s, dock in docks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [e.tail for e in one.log].count(BIG) == 1
    for session, dock in docks:
        harbour.gateway.end(session)
        assert session.attempts()[0].bytes == sum(map(len, dock.blobs.values()))


def test_the_header_comes_before_the_bytes_are_proved_and_nothing_follows_where_they_are_not(
    tmp_path: Path, harbour: Harbour
) -> None:
    """A newer engine gives up on a header after 30 seconds; an older one must not see a byte that is then wrong."""
    gateway = Gateway(
        tmp_path / "other",
        credentials=Logins(),
        clock=SystemClock(),
        port=0,
        limits=replace(PATIENT, header_hold_s=0.2),
        certs=(),
    )
    gateway.start()
    harbour.gateway.close()
    harbour.gateway = gateway
    harbour.mirrors.clear()
    harbour.origin.faults.add(Fault.PAUSE, tail=BIG, at=200_000)
    session, dock = harbour.open()
    gateway.submit(session.prepare(None)).result(60)
    dock.manifest(session.name, str(harbour.digest))
    with closing(http.client.HTTPConnection(gateway.host, timeout=60)) as connection:
        connection.request("GET", f"/v2/{session.name}/blobs/{BIG}", headers=dock.proof)
        answer = connection.getresponse()
        assert (answer.status, answer.getheader("content-length")) == (200, "300000")
        gateway.abort(session, "cannot go on: the test says so")
        with pytest.raises(http.client.IncompleteRead) as error:
            answer.read()
        assert error.value.partial == b""
    with pytest.raises(PullFailed, match="404"):
        dock.get(f"/v2/{session.name}/blobs/{BIG}", BIG)


def test_the_spool_is_empty_when_the_pull_has_ended(harbour: Harbour, tmp_path: Path) -> None:
    session, dock = harbour.open()
    dock.pull(session.name, str(harbour.digest))
    assert len(list((tmp_path / "spool").glob("*.part"))) == 4
    harbour.gateway.end(session)
    assert list((tmp_path / "spool").iterdir()) == []


def test_an_answer_that_nobody_foresaw_costs_its_source_and_no_proof(
    harbour: Harbour, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some bytes are in the spool by then; they were never proved, so the engine must not see them."""
    real = Taking._put

    def put(taking: Taking, chunk: bytes, end: int | None, *, sized: bool) -> bool:
        whole = real(taking, chunk, end, sized=sized)
        if taking.wanted.kind == "blobs" and taking.source.name == harbour.mirrors[0].url:
            raise RuntimeError("what a mirror thought of")
        return whole

    monkeypatch.setattr(Taking, "_put", put)
    dock, attempts = harbour.pull()
    assert set(LAYERS) <= set(dock.blobs.values())
    assert [a.result for a in attempts] == ["protocol", "served", "unused"]
    assert "RuntimeError" in attempts[0].reason


def test_a_flight_that_breaks_in_a_way_of_its_own_has_failed(harbour: Harbour, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(_: Fetch) -> bool:
        raise RuntimeError("a fault of our own")

    session, dock = harbour.open()
    dock.ask("GET", f"/v2/{session.name}/manifests/{harbour.digest}")
    monkeypatch.setattr(Fetch, "_round", broken)
    assert dock.ask("GET", f"/v2/{session.name}/blobs/{BIG}")[0] == 404
    assert session.failure.startswith("cannot get the layer")


def test_a_disk_without_room_is_a_named_failure(harbour: Harbour, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fleet.gateway.spool.RESERVE_BYTES", 1 << 60)
    session, dock = harbour.open()
    with pytest.raises(PullFailed):
        dock.pull(session.name, str(harbour.digest))
    assert session.failure.startswith("cannot keep the layer")


def test_a_taken_port_is_replaced_by_another(harbour: Harbour, tmp_path: Path) -> None:
    second = Gateway(tmp_path / "two", credentials=Logins(), clock=SystemClock(), port=harbour.gateway.port)
    second.start()
    assert second.port not in (0, harbour.gateway.port)
    second.close()


def test_a_mirror_that_is_this_gateway_is_left_out(harbour: Harbour) -> None:
    rule = parse_mirrors([{"for": "*", "url": f"http://{harbour.gateway.host}"}])
    session = harbour.gateway.open(harbour.reference, harbour.digest, MirrorTable.of(rule))
    assert [attempt.role for attempt in session.attempts()] == ["origin"]


def test_long_and_odd_registries_have_a_name_that_engines_take(harbour: Harbour) -> None:
    for text in ("[fe80::1]:5000/app", "Registry.LAN:5000/app", "localhost/" + "a" * 250, "nginx", "ghcr.io/x/y"):
        session = harbour.gateway.open(Reference.parse(text), harbour.digest, MirrorTable())
        engine_name = f"{harbour.gateway.host}/{session.name}@{harbour.digest}"
        assert Reference.parse(engine_name).repository == session.name


@pytest.mark.parametrize("limits", [pytest.param(HANGING, id="hangs")])
def test_while_a_breaker_is_open_a_faulty_mirror_costs_nothing(harbour: Harbour) -> None:
    harbour.mirrors[0].faults.add(Fault.HANG)
    harbour.pull()
    asked = len(harbour.mirrors[0].log)
    began = time.monotonic()
    _, attempts = harbour.pull()
    assert time.monotonic() - began < HANG_S
    assert len(harbour.mirrors[0].log) == asked
    assert [a.result for a in attempts] == ["breaker_open", "served", "unused"]


def test_when_all_breakers_are_open_they_are_ignored_once(harbour: Harbour) -> None:
    harbour.mirrors.clear()
    with harbour.origin.down(), pytest.raises(PullFailed):
        harbour.pull()
    _, attempts = harbour.pull()
    assert [a.result for a in attempts] == ["served"]


def test_an_absence_is_remembered(harbour: Harbour) -> None:
    harbour.mirrors[0].faults.add(Fault.STATUS, status=404)
    harbour.pull()
    asked = len(harbour.mirrors[0].log)
    _, attempts = harbour.pull()
    assert len(harbour.mirrors[0].log) == asked
    assert attempts[0].result == "not_found"


def test_an_only_source_that_asks_for_a_short_rest_gets_it(harbour: Harbour) -> None:
    harbour.mirrors.clear()
    harbour.origin.faults.add(Fault.STATUS, kind="manifests", status=429, retry_after="1", times=1)
    began = time.monotonic()
    _, attempts = harbour.pull()
    assert time.monotonic() - began >= 1.0
    assert attempts[0].result == "rate_limited"
    assert attempts[0].bytes == served(harbour.origin)
