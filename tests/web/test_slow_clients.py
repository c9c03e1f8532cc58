"""Who is slow, or says nothing, or comes a thousand times, keeps nobody else waiting; no token is needed to try."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fleet.web import doors
from fleet.web.process import Server, config_of, unix_socket

SHORT_S = 3.0
PATIENCE_S = 60.0
"""Far more than anything takes, for machines that are busy."""


async def answering(scope: Any, receive: Any, send: Any) -> None:
    """Read the whole request, take longer than a request may, and answer."""
    while (await receive()).get("more_body"):
        pass
    await asyncio.sleep(1.5 * SHORT_S)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
def door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A door that waits for three seconds and has three places."""
    monkeypatch.setattr(doors, "REQUEST_S", SHORT_S)
    monkeypatch.setattr(doors, "MOST_CONNECTIONS", 3)
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


def test_who_comes_too_often_is_sent_away_and_the_others_are_served(door: Path) -> None:
    first = [connected(door, WHOLE) for _ in range(3)]
    assert heard(connected(door, WHOLE)) == b""
    assert [heard(each)[-2:] for each in first] == [b"ok"] * 3
