"""One request to the engine that may last for minutes, and that another thread may cut off; the docker library has no such.

An engine that hears nothing more of who asked gives the work up. One that hangs says nothing, so that whoever reads its
answer would wait with it.
"""

import contextlib
import http.client
import json
import socket
from collections.abc import Iterator, Mapping

from fleet.engine.protocol import PullEvent
from fleet.errors import EngineError

PIECE_BYTES = 64 * 1024


class LongRequest:
    """A POST without a body whose answer comes line by line; made for one use."""

    def __init__(self, url: str, *, connect_s: float, silence_s: float) -> None:
        """Take where the engine is (``unix:///path``, ``tcp://host:port``), and how long it may say nothing."""
        self._connection = _Connection(url, connect_s=connect_s, silence_s=silence_s)

    def lines(self, path: str, headers: Mapping[str, str | bytes]) -> Iterator[bytes]:
        """Send it, and yield what comes.

        Raise Refusal where the engine refuses, OSError or HTTPException where the answer breaks off or is cut off.
        """
        try:
            self._connection.request("POST", path, headers=dict(headers))
            answer = self._connection.getresponse()
            if answer.status >= http.client.BAD_REQUEST:
                raise Refusal(_message(answer.read(PIECE_BYTES)), status=answer.status)
            yield from _lines(answer)
        finally:
            self._connection.close()

    def cut(self) -> None:
        """End it at once, from any thread."""
        self._connection.cut()

    @property
    def is_cut(self) -> bool:
        """Whether it was ended so."""
        return self._connection.is_cut


class Refusal(EngineError):
    """cannot do what was asked: the engine refuses it"""


class PullStream(Iterator[PullEvent]):
    """What an engine tells of a pull, which ends with ``cut``."""

    def __init__(self, events: Iterator[PullEvent], request: LongRequest) -> None:
        self._events, self._request = events, request

    def __next__(self) -> PullEvent:
        """Return what comes next."""
        return next(self._events)

    def cut(self) -> None:
        """End the pull at once, from any thread."""
        self._request.cut()

    def close(self) -> None:
        """End the pull, from the thread that reads it."""
        self._request.cut()
        close = getattr(self._events, "close", None)
        if close is not None:
            close()


class _Connection(http.client.HTTPConnection):
    def __init__(self, url: str, *, connect_s: float, silence_s: float) -> None:
        kind, _, place = url.partition("://")
        super().__init__("engine" if kind == "unix" else place, timeout=connect_s)
        self._socket = f"/{place.lstrip('/')}" if kind == "unix" else ""
        self._silence_s = silence_s
        self.is_cut = False

    def connect(self) -> None:
        """Connect."""
        if self._socket:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(self.timeout)
            self.sock.connect(self._socket)
        else:
            super().connect()
        self.sock.settimeout(self._silence_s)
        if self.is_cut:
            raise ConnectionAbortedError

    def cut(self) -> None:
        """Have whoever waits for the engine find the connection at its end."""
        self.is_cut = True
        if (own := self.sock) is not None:
            with contextlib.suppress(OSError):  # it has ended, or is not connected yet
                own.shutdown(socket.SHUT_RDWR)


def _lines(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    rest = b""
    while came := answer.read1(PIECE_BYTES):
        *whole, rest = (rest + came).split(b"\n")
        yield from filter(bytes.strip, whole)
    if answer.length:
        raise http.client.IncompleteRead(rest, answer.length)
    if rest.strip():
        yield rest


def _message(body: bytes) -> str:
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return body.decode(errors="replace").strip()
