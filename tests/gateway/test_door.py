"""Whoever else is on this machine may knock at the gateway, and takes neither the engine's place nor the agent's files."""

import socket
import threading
from pathlib import Path

import pytest

from fleet.gateway.door import MOST_CONNECTIONS
from tests.gateway.harbour import LAYERS, Harbour


def open_files() -> int:
    """Return how many files this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("said", [b"", b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /v2/ HTTP/1.1\r\nHost: x\r\n"])
def test_a_flood_of_connections_keeps_no_engine_out_and_takes_no_more_files(said: bytes, harbour: Harbour) -> None:
    harbour.pull()  # what it opens once, it has
    knocking: list[socket.socket] = []
    before = open_files()
    try:
        session, dock = harbour.open()
        for _ in range(3 * MOST_CONNECTIONS):
            knocking.append(socket.create_connection(("127.0.0.1", harbour.gateway.port), timeout=30))
            if said:
                knocking[-1].sendall(said)
        pulled = dock.pull(session.name, str(harbour.digest))
        taken = open_files() - before - len(knocking)
        harbour.gateway.end(session)
        assert len(pulled["layers"]) == len(LAYERS)
        assert taken <= MOST_CONNECTIONS + 20
    finally:
        for each in knocking:
            each.close()


def test_an_engine_is_heard_among_any_number_that_knock_at_the_same_moment(harbour: Harbour) -> None:
    """It comes first, so its connection is the oldest that has shown nothing when the others are taken."""
    session, dock = harbour.open()
    busy = threading.Event()
    harbour.gateway._loop.call_soon_threadsafe(busy.wait, 60)
    door = ("127.0.0.1", harbour.gateway.port)
    knocking: list[socket.socket] = []
    try:
        knocking.append(socket.create_connection(door, timeout=60))
        lines = ["GET /v2/ HTTP/1.1", "Host: x", *(f"{name}: {value}" for name, value in dock.proof.items()), "", ""]
        knocking[0].sendall("\r\n".join(lines).encode())
        knocking += [socket.create_connection(door, timeout=60) for _ in range(3 * MOST_CONNECTIONS)]
        busy.set()
        assert knocking[0].recv(1024).startswith(b"HTTP/1.1 200 ")
    finally:
        busy.set()
        for each in knocking:
            each.close()
        harbour.gateway.end(session)


@pytest.mark.parametrize(
    "proof", ["Basic \u00e9", "Basic Zg==", "Basic " + "=" * 50, "Basic", "Bearer x", "Basic /w=="]
)
def test_what_proves_nothing_is_refused_in_words(proof: str, harbour: Harbour) -> None:
    harbour.open()
    with socket.create_connection(("127.0.0.1", harbour.gateway.port), timeout=60) as own:
        own.sendall(f"GET /v2/ HTTP/1.1\r\nHost: x\r\nAuthorization: {proof}\r\n\r\n".encode("latin-1"))
        assert own.recv(1024).startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize("wanted", ["bytes=" + "9" * 5000 + "-", "bytes=0-" + "9" * 5000])
def test_a_range_of_any_length_is_answered(wanted: str, harbour: Harbour) -> None:
    session, dock = harbour.open()
    layer = dock.manifest(session.name, str(harbour.digest))["layers"][0]
    status, _, body = dock.ask("GET", f"/v2/{session.name}/blobs/{layer['digest']}", Range=wanted)
    assert (status, len(body)) == (200, layer["size"])
