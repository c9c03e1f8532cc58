"""The two doors of the API: the unix socket and the port.

The socket is guarded by its permissions: who may open it may do everything, under the name of the peer's user. At the
port a bearer token says who it is. What came through no known door has no rights.
"""

import asyncio
import pwd
import socket
import struct
from enum import StrEnum
from typing import Any

import h11
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from fleet.api.problems import MEDIA_TYPE, make_problem
from fleet.web.knocking import has_spoken

LARGEST_REQUEST = 1024 * 1024
"""The most bytes of a request's body: a policy of thousands of mirrors fits."""

REQUEST_S = 60.0
"""How long a request may take to come whole, its head and its body: who sends a byte a minute, or none, would hold a place for
ever, and needs no token for that."""

MOST_CONNECTIONS = 500
"""How many connections one door serves at once. The doors are counted apart: who fills the port shuts nobody out of the socket. Where
one more comes, the oldest ends that is awaited and has proved nothing.
"""
TAKEN_AT_ONCE = 16
"""How many connections are taken before those that came earlier are heard."""
WAITING = 1024
"""How many wait to be taken."""

_DOOR = "fleet.door"
_UID = "uid:"
PROVED = "proved"
"""Set in the state of a request whose caller is known."""


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
        """Mark the request, and hand it on; one that announces too large a body ends here, and one whose end is not clear."""
        if scope["type"] == "http" and _announced(scope) > LARGEST_REQUEST:
            await _TOO_LARGE(scope, receive, send)
        elif scope["type"] == "http" and _has_two_ends(scope):
            await _TWO_ENDS(scope, receive, send)
        elif "\0" in scope.get("path", ""):
            await _NOWHERE(scope, receive, send)
        else:
            await self.app({**scope, _DOOR: self.door}, receive, _guarding(send))


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
    """HTTP that knows the user at the other end of a unix socket, told by the kernel, and waits for no request for ever."""

    scope: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Begin without a request."""
        super().__init__(*args, **kwargs)
        self._late: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None
        self._made_at = self.loop.time()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Note the peer's user where the connection is local; make room for it where there are too many."""
        super().connection_made(transport)
        connection = transport.get_extra_info("socket")
        has_spoken(connection)
        if len(self.connections) > MOST_CONNECTIONS and not self._has_room():
            return
        self._watch()
        if connection is not None and connection.family == socket.AF_UNIX:
            pid, uid, _gid = struct.unpack(
                "3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
            )
            self.client = (f"{_UID}{uid}", pid)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the request that did not come, and the answer that was not read."""
        self._forget()
        self._read()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Take what has come, and wait on."""
        super().handle_events()
        self._watch()

    def _watch(self) -> None:
        """Let a request that is awaited, or came in part, end its connection in a while, unless it is whole by then."""
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._forget()
        elif self._late is None:
            self._late = self.loop.call_later(REQUEST_S, self.transport.abort)

    def pause_writing(self) -> None:
        """Wait for the reader of an answer as long as for a request."""
        super().pause_writing()
        self._await_reader()

    def resume_writing(self) -> None:
        """Go on: it is read."""
        super().resume_writing()
        self._read()

    def on_response_complete(self) -> None:
        """Await the next request; where none may come, the end of what was not read yet."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._await_reader()

    def timeout_keep_alive_handler(self) -> None:
        """End a connection without a next request, whether it reads what it asked for before or not."""
        super().timeout_keep_alive_handler()
        self._await_reader()

    def _has_room(self) -> bool:
        """End the oldest connection that is awaited and has proved nothing; this one where there is none. Tell whether it stays."""
        others = [each for each in self.connections if isinstance(each, PeerProtocol) and each._may_go]
        ended = min(others, key=lambda each: each._made_at, default=self)
        self.connections.discard(ended)  # it is told of its end later, and many may come until then
        ended.transport.abort()
        return ended is not self

    @property
    def _may_go(self) -> bool:
        """Whether a request is awaited, and the last one proved nothing."""
        proved = bool((self.scope or {}).get("state", {}).get(PROVED))
        return not proved and self.conn.their_state in (h11.IDLE, h11.SEND_BODY)

    def _await_reader(self) -> None:
        if self._unread is None:
            self._unread = self.loop.call_later(REQUEST_S, self.transport.abort)

    def _read(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _forget(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


_TOO_LARGE = Response(
    make_problem(
        "bad-input", 413, f"cannot take a request of more than {LARGEST_REQUEST} bytes; send it in smaller parts"
    ).model_dump_json(),
    status_code=413,
    media_type=MEDIA_TYPE,
    headers={"Connection": "close"},
)


_TWO_ENDS = Response(
    make_problem(
        "bad-input", 400, "cannot tell where a request ends that has both Content-Length and Transfer-Encoding"
    ).model_dump_json(),
    status_code=400,
    media_type=MEDIA_TYPE,
    headers={"Connection": "close"},
)

_NOWHERE = Response(
    make_problem("not-found", 404, "cannot find what has a NUL in its name").model_dump_json(),
    status_code=404,
    media_type=MEDIA_TYPE,
)

_GUARDS = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))
"""What every answer says that does not say otherwise: nobody on the way keeps it, and no browser takes it for a page."""


def _guarding(send: Send) -> Send:
    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            named = {name.lower() for name, _ in headers}
            message = {**message, "headers": [*headers, *(guard for guard in _GUARDS if guard[0] not in named)]}
        await send(message)

    return guarded


def _has_two_ends(scope: Scope) -> bool:
    """Tell whether a proxy before this server might see another end of the request than this server does (RFC 9112, 6.1)."""
    return {b"content-length", b"transfer-encoding"} <= {name for name, _ in scope["headers"]}


def _announced(scope: Scope) -> int:
    length = dict(scope["headers"]).get(b"content-length", b"0")
    return int(length) if length.isdigit() else 0
