"""What the engine is answered: the pull half of the distribution API, as an ASGI application."""

import asyncio
import base64
import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any

from fleet.errors import BadInput
from fleet.gateway.canary import Canary
from fleet.gateway.door import PROVED
from fleet.gateway.fetch import FetchFailed
from fleet.gateway.flights import Flight
from fleet.gateway.limits import Limits
from fleet.gateway.session import Session
from fleet.gateway.sink import READ_BYTES, SpoolFile
from fleet.images.digest import Digest

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = Mapping[str, str]

_PLACE = re.compile(r"/v2/(?P<name>.+)/(?P<kind>manifests|blobs|referrers)/(?P<tail>[^/]+)")
_REFERRING_TAG = re.compile(r"sha256-([0-9a-f]{64})")
"""The tag of what refers to a manifest, where a registry knows no referrers (OCI distribution, "Referrers Tag Schema")."""
_RANGE = re.compile(r"bytes=([0-9]{1,18})-([0-9]{0,18})")


class GatewayApp:
    """Serves active pulls, each to whoever shows its secret, and nothing else."""

    def __init__(
        self, sessions: Iterable[Session], canaries: Iterable[Canary] = (), *, limits: Limits, via: str
    ) -> None:
        """Take the live collections of *sessions* and *canaries*, and the value of our own Via header."""
        self._sessions, self._canaries = sessions, canaries
        self._limits = limits
        self._via = via

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        method, path = scope["method"], scope["path"]
        session = self._session_of(headers)
        canary = None if session else self._canary_of(headers)
        scope[PROVED] = bool(session or canary)
        if canary is not None:
            await _show(send, canary, method, path)
        elif session is None:
            await _refuse(send, 401, "UNAUTHORIZED", {"WWW-Authenticate": 'Basic realm="fleet"'})
        elif method not in ("GET", "HEAD"):
            await _refuse(send, 405, "UNSUPPORTED")
        elif self._via in headers.get("via", ""):
            await _refuse(send, 404, "LOOP")
        elif path in ("/v2", "/v2/"):
            await _answer(send, 200, {"Content-Type": "application/json"}, b"{}")
        else:
            session.asked += 1
            await self._serve(session, method, path, headers, receive, send)

    def _session_of(self, headers: Headers) -> Session | None:
        user, password = _basic(headers.get("authorization", ""))
        return next((session for session in list(self._sessions) if session.proves(user, password)), None)

    def _canary_of(self, headers: Headers) -> Canary | None:
        user, password = _basic(headers.get("authorization", ""))
        return next((canary for canary in list(self._canaries) if canary.proves(user, password)), None)

    async def _serve(
        self, session: Session, method: str, path: str, headers: Headers, receive: Receive, send: Send
    ) -> None:
        place = _PLACE.fullmatch(path)
        digest = _digest(place["tail"]) if place else None
        subject = _subject(place["kind"], place["tail"]) if place else None
        if place is None or not (digest or subject) or place["name"] != session.name or session.failure:
            await _refuse(send, 404, "NAME_UNKNOWN")
        elif subject is not None and session.allows_manifest(subject):
            await _referring(session, place["kind"], place["tail"], method, send)
        elif digest is None or subject is not None:
            await _refuse(send, 404, "MANIFEST_UNKNOWN")
        elif place["kind"] == "manifests" and session.allows_manifest(digest):
            await self._manifest(session, digest, method, send)
        elif place["kind"] == "blobs" and session.descriptor(digest):
            await self._blob(session, digest, method, headers, receive, send)
        else:
            await _refuse(send, 404, f"{place['kind'].removesuffix('s').upper()}_UNKNOWN")

    async def _manifest(self, session: Session, digest: Digest, method: str, send: Send) -> None:
        try:
            async with asyncio.timeout(self._limits.header_hold_s):
                held = await session.manifest(digest)
        except (FetchFailed, TimeoutError, asyncio.CancelledError):
            await _refuse(send, 404, "MANIFEST_UNKNOWN")
            return
        raw = held.manifest.raw
        headers = {"Content-Type": held.manifest.media_type, "Docker-Content-Digest": str(digest)}
        if method == "HEAD":
            await _answer(send, 200, {**headers, "Content-Length": str(len(raw))}, b"")
            return
        await _answer(send, 200, headers, raw)
        session.passed(digest, 0, len(raw), held.sink.segments)

    async def _blob(
        self, session: Session, digest: Digest, method: str, headers: Headers, receive: Receive, send: Send
    ) -> None:
        descriptor = session.descriptor(digest)
        assert descriptor is not None
        wanted = _range(headers.get("range", ""), descriptor.size)
        if wanted is None:
            await _refuse(send, 416, "RANGE_INVALID", {"Content-Range": f"bytes */{descriptor.size}"})
            return
        start, end, status = wanted
        told = {
            "Content-Type": "application/octet-stream",
            "Docker-Content-Digest": str(digest),
            "Accept-Ranges": "bytes",
            "Content-Length": str(end - start),
        }
        if status == 206:
            told["Content-Range"] = f"bytes {start}-{end - 1}/{descriptor.size}"
        if method == "HEAD":
            await _answer(send, status, told, b"")
            return
        flight = session.blob(descriptor)
        landed = await flight.landed(self._limits.header_hold_s)
        if landed is False:
            await _refuse(send, 404, "BLOB_UNKNOWN")
            return
        await send({"type": "http.response.start", "status": status, "headers": _raw(told)})
        if await flight.landed(None) and flight.file is not None:
            await _Body(session, flight, flight.file, receive, send).send(start, end)
        # Otherwise the header stands alone, and the server closes the connection without one byte of the body.


class _Body:
    """The sending of one blob's bytes, which stops where the engine goes away."""

    def __init__(self, session: Session, flight: Flight, file: SpoolFile, receive: Receive, send: Send) -> None:
        self._session, self._flight, self._file = session, flight, file
        self._receive, self._send = receive, send

    async def send(self, start: int, end: int) -> None:
        """Send the bytes from *start* up to *end*."""
        gone = asyncio.create_task(self._gone())
        at = start
        try:
            while at < end and not gone.done() and self._flight.file is not None:
                chunk = self._file.read(at, min(READ_BYTES, end - at))
                if not chunk:
                    return
                at += len(chunk)
                await self._send({"type": "http.response.body", "body": chunk, "more_body": at < end})
                if not gone.done():
                    self._session.passed(self._flight.digest, at - len(chunk), at, self._file.segments)
            if start == end:
                await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            gone.cancel()

    async def _gone(self) -> None:
        """Return when the engine has closed the connection."""
        while (await self._receive())["type"] != "http.disconnect":
            pass


async def _show(send: Send, canary: Canary, method: str, path: str) -> None:
    found = canary.document(path)
    if found is None:
        await _refuse(send, 404, "NAME_UNKNOWN")
    else:
        await _answer(send, 200, found[0], b"" if method == "HEAD" else found[1])


async def _referring(session: Session, kind: str, tail: str, method: str, send: Send) -> None:
    found = await session.referring("referrers" if kind == "referrers" else "manifests", tail)
    if found is None:
        await _refuse(send, 404, "MANIFEST_UNKNOWN")
        return
    headers = {"Content-Type": found.media_type, "Content-Length": str(len(found.raw))}
    if kind == "manifests":
        headers["Docker-Content-Digest"] = str(found.digest)
    await _answer(send, 200, headers, b"" if method == "HEAD" else found.raw)


async def _answer(send: Send, status: int, headers: Headers, body: bytes) -> None:
    sized = headers if "Content-Length" in headers else {**headers, "Content-Length": str(len(body))}
    await send({"type": "http.response.start", "status": status, "headers": _raw(sized)})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def _refuse(send: Send, status: int, code: str, headers: Headers | None = None) -> None:
    """Answer an error in the distribution API's form."""
    body = json.dumps({"errors": [{"code": code, "message": code.lower().replace("_", " ")}]}).encode()
    await _answer(send, status, {"Content-Type": "application/json", **(headers or {})}, body)


def _subject(kind: str, tail: str) -> Digest | None:
    """Return the digest of the manifest whose referrers are asked for, None where it is something else."""
    if kind == "referrers":
        return _digest(tail)
    tag = _REFERRING_TAG.fullmatch(tail) if kind == "manifests" else None
    return _digest(f"sha256:{tag[1]}") if tag else None


def _raw(headers: Headers) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


def _basic(header: str) -> tuple[str, str]:
    """Return user and password of an Authorization header, empty where it holds none."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        user, _, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except ValueError:  # which errors of base64 and UTF-8 are
        return "", ""
    return user, password


def _range(header: str, size: int) -> tuple[int, int, int] | None:
    """Return start, end and status for a Range header; one that is no single range from a start is ignored."""
    match = _RANGE.fullmatch(header.strip())
    if match is None:
        return 0, size, 200
    start, end = int(match[1]), min(int(match[2]) + 1, size) if match[2] else size
    return (start, end, 206) if start < end else None


def _digest(text: str) -> Digest | None:
    try:
        return Digest.parse(text)
    except BadInput:
        return None
