"""HTTP/1.1 to the byte, for a server that must be able to break it: requests read, replies sent as far as is wanted."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qs, unquote, urlsplit

HEADER_CAP_BYTES = 64 * 1024
CHUNK_BYTES = 64 * 1024
_TLS_HELLO = b"\x16"
_PHRASES = {status.value: status.phrase for status in HTTPStatus}


class NotHttp(Exception):
    """What came is no HTTP request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request, its body read."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes = b""


@dataclass(slots=True, kw_only=True)
class Reply:
    """One reply, before any fault."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """Return the next request, None where the client has gone; raise NotHttp for anything else.

    A TLS client is told so at once, as real servers do: containerd probes a loopback registry that way.
    """
    try:
        first = await reader.readexactly(1)
        if first == _TLS_HELLO:
            raise NotHttp
        head = first + await reader.readuntil(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split(" ")
        named = (line.partition(":") for line in lines[1:] if line)
        headers = {name.strip().lower(): value.strip() for name, _, value in named}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    except (ValueError, asyncio.LimitOverrunError) as error:
        raise NotHttp from error
    parts = urlsplit(target)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    return Request(method=method, path=unquote(parts.path), query=query, headers=headers, body=body)


def head_of(reply: Reply) -> bytes:
    """Return the reply's status line and headers as they go over the wire."""
    phrase = _PHRASES.get(reply.status, "Unknown")
    lines = [f"HTTP/1.1 {reply.status} {phrase}", *(f"{name}: {value}" for name, value in reply.headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def in_chunks(content: bytes) -> bytes:
    """Return *content* as one chunk of the chunked coding, without the end."""
    return f"{len(content):x}\r\n".encode() + content + b"\r\n" if content else b""


def ranged(reply: Reply, header: str) -> Reply:
    """Return the part of a 200 *reply* that a Range *header* asks for; what is no single range is ignored."""
    unit, _, spec = header.partition("=")
    first, dash, last = spec.partition("-")
    size = len(reply.body)
    if unit.strip() != "bytes" or not dash or "," in spec or not (first or last).isdigit():
        return reply
    start = int(first) if first else max(size - int(last), 0)
    end = min(int(last) + 1, size) if first and last.isdigit() else size
    if start >= size or start >= end:
        return Reply(status=416, headers={"Content-Range": f"bytes */{size}"})
    headers = {**reply.headers, "Content-Range": f"bytes {start}-{end - 1}/{size}"}
    return Reply(status=206, headers=headers, body=reply.body[start:end])
