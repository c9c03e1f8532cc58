"""Whoever else is on this machine may knock at the gateway, and takes neither the engine's place nor the agent's files."""

import socket
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
