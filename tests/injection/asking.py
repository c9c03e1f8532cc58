"""One HTTP request over a unix socket, without any library that an agent uses for its engine."""

import http.client
import socket
from collections.abc import Mapping


class OverSocket(http.client.HTTPConnection):
    """A connection to a server at a unix socket."""

    def __init__(self, path: str, timeout_s: float | None = None) -> None:
        """Connect to *path* with the first request."""
        super().__init__("engine", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        """Dial the socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def ask(
    path: str, method: str, url: str, body: bytes = b"", headers: Mapping[str, str] | None = None
) -> tuple[int, bytes]:
    """Ask and return status and body; raise OSError or HTTPException where no answer comes."""
    connection = OverSocket(path)
    try:
        connection.request(method, url, body, dict(headers or {}))
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
