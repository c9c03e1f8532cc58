"""Connections that are read in large pieces: of TLS, all records that have come rather than one, which is 16 KiB at most.

A layer is hundreds of megabytes, and what each piece costs on its way through the layers above is the same for a small one.
"""

# ruff: noqa: ASYNC109 - the library's own signatures
import ssl
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import httpcore2
from anyio.abc import ByteStream

PIECE_BYTES = 256 * 1024
"""The most that is read at once."""

SocketOption = tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]


class WideBackend(httpcore2.AsyncNetworkBackend):
    """Connects as the library does by itself; only the reading differs."""

    def __init__(self) -> None:
        self._inner = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[SocketOption] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect; raise ConnectError or ConnectTimeout where that fails."""
        stream: Any = await self._inner.connect_tcp(host, port, timeout, local_address, socket_options)
        # The layer of TLS asks what is below it for less; the library builds it itself, on this very attribute.
        stream._stream = _Raw(stream._stream)
        return _WideStream(stream)

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await self._inner.sleep(seconds)


class _Raw(ByteStream):
    """A socket that gives large pieces to whoever asks for small ones."""

    def __init__(self, inner: ByteStream) -> None:
        self._inner = inner

    async def receive(self, max_bytes: int = PIECE_BYTES) -> bytes:
        """Return what has come, at most PIECE_BYTES."""
        return await self._inner.receive(max(max_bytes, PIECE_BYTES))

    async def send(self, item: bytes) -> None:
        """Send all of *item*."""
        await self._inner.send(item)

    async def send_eof(self) -> None:
        """Tell the other side that no more comes."""
        await self._inner.send_eof()

    async def aclose(self) -> None:
        """Close the socket."""
        await self._inner.aclose()

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        """What the socket tells of itself."""
        return self._inner.extra_attributes


class _WideStream(httpcore2.AsyncNetworkStream):
    """One connection."""

    def __init__(self, inner: httpcore2.AsyncNetworkStream) -> None:
        self._inner = inner
        found = inner.get_extra_info("ssl_object")
        self._tls: ssl.SSLObject | None = found if isinstance(found, ssl.SSLObject) else None

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return what has come, at most PIECE_BYTES: whoever asks for less takes more; empty at the end."""
        first = await self._inner.read(max(max_bytes, PIECE_BYTES), timeout)
        if self._tls is None or not first:
            return first
        return b"".join([first, *_records(self._tls, PIECE_BYTES - len(first))])

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send *buffer*."""
        await self._inner.write(buffer, timeout)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._inner.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.AsyncNetworkStream:
        """Go on over TLS."""
        return _WideStream(await self._inner.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        """Tell of the connection what the library asks."""
        return self._inner.get_extra_info(info)


def _records(tls: ssl.SSLObject, room: int) -> list[bytes]:
    """Return what is there decrypted without waiting, at most *room* bytes."""
    found: list[bytes] = []
    while room > 0:
        try:
            more = tls.read(room)
        except ssl.SSLError:
            # No whole record is there, or the stream is at its end or broken: the next read waits, or says so.
            break
        if not more:
            break
        found.append(more)
        room -= len(more)
    return found
