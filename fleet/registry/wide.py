"""Connections that are read in large pieces, and whose bodies may be read past the HTTP library.

A layer is hundreds of megabytes, and what each piece costs on its way through the library's layers is more than what its
bytes cost. So a piece is all that has come; and of a long body only the beginning goes that way, the rest is read
(``WideStream.pour``) by whoever keeps it, in a thread, while the event loop is free.
"""

# ruff: noqa: ASYNC109 - the library's own signatures
import asyncio
import contextlib
import errno
import os
import select
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import httpcore2

from fleet.registry.dial import Refusal, connected

PIECE_BYTES = 512 * 1024
"""The most that is read at once."""
SocketOption = tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]


class WideBackend(httpcore2.AsyncNetworkBackend):
    """Makes the connections; belongs to one event loop."""

    def __init__(self, refuses: Refusal = lambda _: False, met: Callable[[str], None] = lambda _: None) -> None:
        """Take who tells of an IP address that it must not be asked: a name says nothing of where it leads.

        *met* is told of each IP address that took a connection.
        """
        self._refuses, self._met = refuses, met

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[SocketOption] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect; raise ConnectError or ConnectTimeout where that fails."""
        with _named(httpcore2.ConnectError, httpcore2.ConnectTimeout):
            async with asyncio.timeout(timeout):
                own = await connected(host, port, local_address, self._refuses)
            self._met(own.getpeername()[0])
            for option in socket_options or ():
                own.setsockopt(*option)
        return WideStream(_Wire(own))

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


class _Wire:
    """A socket, as what lies below a stream."""

    def __init__(self, own: socket.socket) -> None:
        self.socket = own

    async def receive(self) -> bytes:
        """Return what has come, empty at the end."""
        # Nothing is waited for where something has come already: whoever sends without a pause would have the event loop
        # to itself, and no limit of time would ever be looked at.
        await asyncio.sleep(0)
        return await asyncio.get_running_loop().sock_recv(self.socket, PIECE_BYTES)

    async def send(self, content: bytes) -> None:
        """Send all of *content*."""
        await asyncio.get_running_loop().sock_sendall(self.socket, content)

    async def aclose(self) -> None:
        """Close the socket."""
        self.socket.close()


class _Tls:
    """The state of TLS over something that moves bytes."""

    def __init__(self, context: ssl.SSLContext, hostname: str | None) -> None:
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.object = context.wrap_bio(self._in, self._out, server_hostname=hostname)

    def feed(self, content: bytes | memoryview) -> None:
        """Take what came from below; nothing means that no more comes."""
        if content:
            self._in.write(content)
        else:
            self._in.write_eof()

    def outgoing(self) -> bytes:
        """Return what is to be sent below."""
        return self._out.read() if self._out.pending else b""

    def read_into(self, room: memoryview) -> int | None:
        """Decrypt what is there into *room*; return how much, 0 at the end, None where more has to come first."""
        got = 0
        while got < len(room):
            try:
                count: Any = self.object.read(len(room) - got, room[got:])
            except ssl.SSLWantReadError:
                return got or None
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return got
            except ssl.SSLError:
                # What came before the broken record is right, and the next call meets the same error.
                if got:
                    return got
                raise
            if not count:
                return got
            got += count
        return got


class WideStream(httpcore2.AsyncNetworkStream):
    """One connection: a socket, or TLS over one, or over another stream where the way leads through a proxy with TLS."""

    def __init__(self, below: "_Wire | WideStream", tls: _Tls | None = None) -> None:
        self._below, self._tls = below, tls
        self._came = memoryview(bytearray())
        """Memory for what comes from below or is decrypted; made when it is needed."""

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return what has come, at most PIECE_BYTES: whoever asks for less takes more; empty at the end."""
        with _named(httpcore2.ReadError, httpcore2.ReadTimeout):
            async with asyncio.timeout(timeout):
                return await self.receive()

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send *buffer*."""
        with _named(httpcore2.WriteError, httpcore2.WriteTimeout):
            async with asyncio.timeout(timeout):
                await self.send(buffer)

    async def receive(self) -> bytes:
        """Return what has come; raise OSError, which errors of TLS are, too."""
        if self._tls is None:
            return await self._below.receive()
        room = self._room()
        while (got := self._tls.read_into(room)) is None:
            self._tls.feed(await self._below.receive())
        await self._flush()
        return bytes(room[:got])

    async def send(self, content: bytes) -> None:
        """Send all of *content*; raise OSError."""
        if self._tls is None:
            await self._below.send(content)
        elif content:
            self._tls.object.write(content)
            await self._flush()

    async def aclose(self) -> None:
        """Close the connection."""
        await self._below.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.AsyncNetworkStream:
        """Go on over TLS; raise ConnectError or ConnectTimeout, and close the connection, where that fails."""
        try:
            with _named(httpcore2.ConnectError, httpcore2.ConnectTimeout):
                below = self._below if self._tls is None else self
                stream = WideStream(below, _Tls(ssl_context, server_hostname))
                async with asyncio.timeout(timeout):
                    await stream._shake_hands()
                return stream
        except BaseException:
            await self.aclose()
            raise

    def get_extra_info(self, info: str) -> Any:
        """Tell of the connection what the library asks."""
        own = self._socket()
        if info == "ssl_object":
            return self._tls.object if self._tls is not None else None
        if info == "socket":
            return own
        if info == "client_addr":
            return own.getsockname()
        if info == "server_addr":
            return own.getpeername()
        if info == "is_readable":
            return own.fileno() < 0 or _comes(own, 0)
        return None

    @property
    def pours(self) -> bool:
        """Whether ``pour`` can be used: not through a proxy with TLS."""
        return isinstance(self._below, _Wire)

    def pour(self, room: memoryview, wait_s: float) -> int | None:
        """Read what has come into *room*; return how much, 0 at the end, None where nothing came within *wait_s*.

        It is for a thread, while nobody else reads. Raise OSError where the connection is broken.
        """
        own, until = self._socket(), time.monotonic() + wait_s
        if self._tls is None:
            return _take_in(own, room, wait_s)
        left_s = wait_s
        while (got := self._tls.read_into(room)) is None:
            came = self._room()
            # Records without a byte of the body may come for ever.
            if left_s < 0 or (count := _take_in(own, came, left_s)) is None:
                return None
            self._tls.feed(came[:count])
            left_s = until - time.monotonic()
        if answer := self._tls.outgoing():
            # A change of keys is answered in a few bytes, for which the socket has room.
            own.send(answer)
        return got

    async def _shake_hands(self) -> None:
        assert self._tls is not None
        while True:
            try:
                self._tls.object.do_handshake()
                break
            except ssl.SSLWantReadError:
                await self._flush()
                self._tls.feed(await self._below.receive())
        await self._flush()

    async def _flush(self) -> None:
        if self._tls is not None and (outgoing := self._tls.outgoing()):
            await self._below.send(outgoing)

    def _room(self) -> memoryview:
        if not self._came:
            self._came = memoryview(bytearray(PIECE_BYTES))
        return self._came

    def _socket(self) -> socket.socket:
        return self._below.socket if isinstance(self._below, _Wire) else self._below._socket()


def _comes(own: socket.socket, within_s: float) -> bool:
    """Wait at most *within_s* seconds, and tell whether there is something to read, be it the end; raise OSError if closed."""
    if own.fileno() < 0:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    poll = select.poll()
    poll.register(own, select.POLLIN)
    return bool(poll.poll(within_s * 1000))


def _take_in(own: socket.socket, room: memoryview, within_s: float) -> int | None:
    """Read what has come into *room*; return how much, 0 at the end, None where nothing came in time."""
    with contextlib.suppress(BlockingIOError):
        # On a fast line there is always something.
        return own.recv_into(room)
    if not _comes(own, within_s):
        return None
    with contextlib.suppress(BlockingIOError):
        return own.recv_into(room)
    # What was announced was thrown away: its checksum was wrong.
    return None


@contextlib.contextmanager
def _named(failed: type[Exception], late: type[Exception]) -> Iterator[None]:
    """Raise what the library expects for what a connection fails by."""
    try:
        yield
    except TimeoutError as error:
        # The system's own ETIMEDOUT is one, too, and not ours.
        raise (failed(_reason(error)) if error.errno else late(error)) from error
    except OSError as error:
        raise failed(_reason(error)) from error


def _reason(error: OSError) -> str:
    """Return the system's words, without the numbers that asyncio puts before and after them."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    known = error.errno and not isinstance(error, (ssl.SSLError, socket.gaierror))
    return os.strerror(error.errno or 0) if known else str(error)
