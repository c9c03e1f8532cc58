"""One question to the API by the standard library alone: the whole client takes longer to load than a key press may wait."""

import json
import socket
import ssl
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from fleet.api.paths import PREFIX
from fleet.client.address import ServerAddress
from fleet.errors import Unreachable

LARGEST = 4 * 1024 * 1024
"""The most bytes of an answer that are read."""


class _OverSocket(HTTPConnection):
    """A connection over a unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("fleet", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def ask(address: ServerAddress, path: str, query: list[tuple[str, str]], *, timeout: float) -> Any:
    """Return the document at *path*; each wait for the server lasts *timeout* seconds at most.

    Raises Unreachable where there is no such document, for whatever reason.
    """
    headers = {"Accept": "application/json"}
    if address.token:
        headers["Authorization"] = f"Bearer {address.token}"
    base, connection = _connection(address, timeout)
    try:
        connection.request("GET", f"{base}{PREFIX}{quote(path)}?{urlencode(query)}", headers=headers)
        answer = connection.getresponse()
        if answer.status != 200:
            raise Unreachable(f"cannot read {path}: the server answered {answer.status}")
        return json.loads(answer.read(LARGEST))
    except (OSError, HTTPException, ValueError) as error:
        raise Unreachable(f"cannot read {path}: {error}") from error
    finally:
        connection.close()


def _connection(address: ServerAddress, timeout: float) -> tuple[str, HTTPConnection]:
    """Return what stands before each path, and a connection that is not open yet."""
    if address.socket:
        return "", _OverSocket(str(address.socket), timeout)
    parts = urlsplit(address.url)
    if parts.scheme == "http":
        return parts.path, HTTPConnection(parts.netloc, timeout=timeout)
    try:
        context = ssl.create_default_context(cafile=str(address.ca_file) if address.ca_file else None)
    except OSError as error:
        raise Unreachable(f"cannot use the CA file {address.ca_file}: {error}") from error
    return parts.path, HTTPSConnection(parts.netloc, timeout=timeout, context=context)
