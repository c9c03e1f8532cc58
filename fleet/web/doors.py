"""The two doors of the API, and what holds at both: the unix socket, the port, and the size of a request.

The socket is guarded by its permissions: who may open it may do everything, under the name of the peer's user. At the
port a bearer token says who it is. What came through no known door has no rights.
"""

import asyncio
import pwd
import socket
import struct
from enum import StrEnum
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from fleet.api.problems import MEDIA_TYPE, make_problem

LARGEST_REQUEST = 1024 * 1024
"""The most bytes of a request's body: a policy of thousands of mirrors fits."""

_DOOR = "fleet.door"
_UID = "uid:"


class Door(StrEnum):
    """How a request came in; the audit says it."""

    SOCKET = "socket"
    """The unix socket of this machine."""
    PORT = "api"
    """HTTPS, with a token."""


class Behind:
    """An application behind one door: every request is marked with it, whatever the request says of itself."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        """Put *app* behind *door*."""
        self.app = app
        self.door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Mark the request, and hand it on."""
        await self.app({**scope, _DOOR: self.door}, receive, send)


def door_of(scope: Scope) -> Door | None:
    """Return the door that a request came through; None where it was none of ours."""
    door = scope.get(_DOOR)
    return door if isinstance(door, Door) else None


def peer_of(scope: Scope) -> str:
    """Return the name of the user at the other end of the socket, or ``socket`` where the system does not say."""
    client = scope.get("client")
    if not client or not str(client[0]).startswith(_UID):
        return "socket"
    uid = int(str(client[0]).removeprefix(_UID))
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid-{uid}"


class PeerProtocol(H11Protocol):
    """HTTP that knows the user at the other end of a unix socket, told by the kernel."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Note the peer's user where the connection is local."""
        super().connection_made(transport)
        connection = transport.get_extra_info("socket")
        if connection is not None and connection.family == socket.AF_UNIX:
            pid, uid, _gid = struct.unpack(
                "3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
            )
            self.client = (f"{_UID}{uid}", pid)


class SizeLimit:
    """Refuses a request whose body is too large, by its announcement or once it has grown so far."""

    def __init__(self, app: ASGIApp, largest: int = LARGEST_REQUEST) -> None:
        """Guard *app*."""
        self.app = app
        self.largest = largest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on, counting."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if not announced.isdigit() or int(announced) > self.largest:
            await _refuse(send)
            return
        counted = _Counted(receive, send, self.largest)
        try:
            await self.app(scope, counted.receive, counted.send)
        except _TooLargeError:
            if not counted.answered:
                await _refuse(send)


class _TooLargeError(Exception):
    """The body has grown beyond the limit."""


class _Counted:
    """One request's two directions."""

    def __init__(self, receive: Receive, send: Send, largest: int) -> None:
        self._receive, self._send, self._left = receive, send, largest
        self.answered = False

    async def receive(self) -> Message:
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise _TooLargeError
        return message

    async def send(self, message: Message) -> None:
        self.answered = True
        await self._send(message)


async def _refuse(send: Send) -> None:
    problem = make_problem(
        "bad-input", 413, f"cannot take a request of more than {LARGEST_REQUEST} bytes; send it in smaller parts"
    )
    headers: list[Any] = [(b"content-type", MEDIA_TYPE.encode()), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": problem.model_dump_json().encode()})
