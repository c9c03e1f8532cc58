"""Who is slow, or says nothing, or comes a thousand times, keeps nobody else waiting; no token is needed to try."""

import asyncio
import contextlib
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fleet.web import doors, knocking
from fleet.web.process import Server, config_of, port_socket, unix_socket

SHORT_S = 3.0
PATIENCE_S = 60.0
"""Far more than anything takes, for machines that are busy."""


PIECE = 1_000_000
ASKED = threading.Semaphore(0)
"""Released by each whole request."""


async def answering(scope: Any, receive: Any, send: Any) -> None:
    """Read the whole request, take longer than a request may, and answer; or at once, with as many bytes as the path says."""
    while (await receive()).get("more_body"):
        pass
    ASKED.release()
    if scope["path"] == "/":
        await asyncio.sleep(1.5 * SHORT_S)
    scope["state"][doors.PROVED] = scope["path"] == "/known"
    size = scope["path"][1:]
    body = b"x" * int(size) if size.isdecimal() else b"ok"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    for begin in range(0, len(body), PIECE):
        piece, more = body[begin : begin + PIECE], begin + PIECE < len(body)
        await send({"type": "http.response.body", "body": piece, "more_body": more})


@pytest.fixture
def door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A door that waits for three seconds and has three places."""
    monkeypatch.setattr(doors, "REQUEST_S", SHORT_S)
    monkeypatch.setattr(doors, "MOST_CONNECTIONS", 3)
    monkeypatch.setattr(sys.modules[__name__], "ASKED", threading.Semaphore(0))
    path = tmp_path / "s"
    with unix_socket(path) as listening:
        server = Server(config_of(answering))
        serving = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listening])))
        serving.start()
        while not server.started:
            time.sleep(0.01)
        yield path
        server.should_exit = True
        serving.join()


def connected(door: Path, said: bytes = b"") -> socket.socket:
    """Connect, and say something."""
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(PATIENCE_S)
    client.connect(str(door))
    with contextlib.suppress(OSError):
        client.sendall(said)
    return client


def heard(client: socket.socket) -> bytes:
    """Return what comes until the other end closes, and close."""
    found = b""
    with client, contextlib.suppress(ConnectionError):
        while part := client.recv(4096):
            found += part
    return found


WHOLE = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc"


@pytest.mark.parametrize(
    ("said", "answered"),
    [
        (b"", False),
        (b"GET / HTTP/1.1\r\nHost:", False),
        (WHOLE[:-1], False),
        (WHOLE.replace(b"close", b"keep-alive") + b"GET", True),
    ],
    ids=["nothing", "half a head", "half a body", "half a second request"],
)
def test_what_does_not_come_whole_is_not_waited_for(door: Path, said: bytes, answered: bool) -> None:
    assert heard(connected(door, said)).endswith(b"\r\n\r\nok") is answered


def test_an_answer_may_take_longer_than_a_request(door: Path) -> None:
    assert heard(connected(door, WHOLE)).endswith(b"\r\n\r\nok")


def test_who_comes_too_often_is_sent_away_and_those_who_are_answered_are_served(door: Path) -> None:
    first = [connected(door, WHOLE) for _ in range(3)]
    for _ in first:
        assert ASKED.acquire(timeout=PATIENCE_S)
    assert heard(connected(door, WHOLE)) == b""
    assert [heard(each)[-2:] for each in first] == [b"ok"] * 3


@pytest.mark.parametrize(
    "said", [b"", b"GET / HTTP/1.1\r\nHost:", WHOLE[:-1]], ids=["nothing", "half a head", "half a body"]
)
def test_who_proves_nothing_holds_no_place_against_those_who_ask(door: Path, said: bytes) -> None:
    """Else five hundred connections would shut everybody out of the port, and need no token for it."""
    strangers = [connected(door, said) for _ in range(9)]
    assert heard(connected(door, WHOLE)).endswith(b"ok")
    for each in strangers:
        each.close()


def test_who_showed_who_he_is_keeps_his_place_for_the_next_request(door: Path) -> None:
    known = connected(door, b"GET /known HTTP/1.1\r\nHost: x\r\n\r\n")
    assert known.recv(4096)
    strangers = [connected(door) for _ in range(9)]
    known.sendall(WHOLE)
    assert heard(known).endswith(b"ok")
    for each in strangers:
        each.close()


@pytest.mark.parametrize(("size", "lasts"), [(8_000_000, "keep-alive"), (300_000, "close")], ids=["much", "little"])
def test_who_does_not_read_holds_no_place_for_ever(door: Path, size: int, lasts: str) -> None:
    client = socket.socket(socket.AF_UNIX)
    with client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(PATIENCE_S)
        client.connect(str(door))
        client.sendall(f"GET /{size} HTTP/1.1\r\nHost: x\r\nConnection: {lasts}\r\n\r\n".encode())
        time.sleep(2.5 * SHORT_S)
        found = heard(client)
    assert len(found) < size


def test_of_those_who_say_nothing_at_the_port_so_many_have_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are connections of the server only once they have spoken TLS."""
    monkeypatch.setattr(knocking, "MOST_SILENT", 3)
    with contextlib.closing(port_socket("127.0.0.1:0")) as listening:
        listening.listen(20)
        clients = [socket.create_connection(listening.getsockname(), timeout=PATIENCE_S) for _ in range(6)]
        taken = [listening.accept()[0] for _ in clients]
        ended = [_is_ended(each) for each in clients]
        assert ended == [True] * 3 + [False] * 3
        knocking.has_spoken(_Shown(taken[3]))
        clients += [socket.create_connection(listening.getsockname(), timeout=PATIENCE_S) for _ in range(3)]
        taken += [listening.accept()[0] for _ in range(3)]
        assert [_is_ended(each) for each in clients[3:]] == [False, True, True, False, False, False]
        for each in (*clients, *taken):
            each.close()


class _Shown:
    """A connection as a transport shows it."""

    def __init__(self, own: socket.socket) -> None:
        self._sock = own


def _is_ended(client: socket.socket) -> bool:
    client.setblocking(False)
    try:
        return client.recv(1) == b""
    except BlockingIOError:
        return False
