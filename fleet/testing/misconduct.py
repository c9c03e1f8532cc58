"""How the scriptable registry does wrong: replies turned false, sent elsewhere, or broken off at a byte."""

import asyncio
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace

from fleet.images.digest import Digest
from fleet.registry.manifest import INDEXES, MANIFESTS
from fleet.testing.entry import Entry
from fleet.testing.faults import Fault, FaultRule
from fleet.testing.gatekeeper import refused
from fleet.testing.wire import CHUNK_BYTES, Reply, Request, head_of, in_chunks

Struck = Mapping[Fault, FaultRule]
_CUTS = (Fault.CUT, Fault.ZERO_BYTES, Fault.WRONG_PREFIX, Fault.TOKEN_EXPIRES)
_NEVER_S = 3600.0
"""Longer than any test waits; a closed connection or the registry's end comes first."""
ENDLESS_BYTES = 512 * 1024 * 1024
"""What a body without end goes on for before the connection is closed: an engine keeps a manifest in memory, all of it
(seen: 22 GiB of dockerd 20.10)."""


def misdirected(request: Request, struck: Struck) -> Reply | None:
    """Return the reply of a registry that does not answer itself: an error, or another place to ask."""
    if rule := struck.get(Fault.STATUS):
        return refused(rule.status, "SCRIPTED", {"Retry-After": rule.retry_after} if rule.retry_after else {})
    if Fault.NO_HEAD in struck and request.method == "HEAD":
        return refused(405, "UNSUPPORTED")
    if rule := struck.get(Fault.REDIRECT):
        return Reply(status=307, headers={"Location": f"{rule.location}{request.path}"})
    if Fault.REDIRECT_LOOP in struck:
        return Reply(status=307, headers={"Location": request.path})
    if Fault.REDIRECT_TO_HTTP in struck:
        return Reply(status=307, headers={"Location": f"http://{request.headers.get('host', '')}{request.path}"})
    return None


def spoiled(reply: Reply, struck: Struck) -> Reply:
    """Return *reply*, if it is a good one, with false bytes or headers."""
    if reply.status != 200:
        return reply
    body, headers = reply.body, dict(reply.headers)
    if struck.keys() & {Fault.WRONG_BYTES, Fault.WRONG_PREFIX}:
        body = bytes(byte ^ 0xFF for byte in body)
    if Fault.OTHER_MANIFEST in struck and headers.get("Content-Type") in INDEXES | MANIFESTS:
        body = json.dumps({**json.loads(body), "annotations": {"forged": "yes"}}).encode()
    if Fault.NO_DIGEST in struck:
        headers.pop("Docker-Content-Digest", None)
    if Fault.LYING_DIGEST in struck:
        headers["Docker-Content-Digest"] = str(Digest.of(b"something else"))
    if Fault.ENCODED in struck:
        headers["Content-Encoding"] = "gzip"
    return replace(reply, body=body, headers=headers)


class Delivery:
    """The sending of one reply, as far as its faults let it."""

    def __init__(
        self,
        writer: asyncio.StreamWriter,
        struck: Struck,
        entry: Entry,
        *,
        head_only: bool,
        pause: threading.Event,
        go: threading.Event,
    ) -> None:
        self.on_cut: Callable[[], None] | None = None
        """What happens when the body is cut."""
        self._writer = writer
        self._struck = struck
        self._entry = entry
        self._head_only = head_only
        self._pause, self._go = pause, go
        self._unsized = bool(struck.keys() & {Fault.CHUNKED, Fault.ENDLESS, Fault.DRIP})

    async def begins(self) -> bool:
        """Wait as the faults say; return False where no answer is to come."""
        if rule := self._struck.get(Fault.DELAY):
            await asyncio.sleep(rule.seconds)
        if Fault.HANG in self._struck:
            await asyncio.sleep(_NEVER_S)
        return Fault.CLOSE not in self._struck

    async def send(self, reply: Reply) -> bool:
        """Send *reply*; return whether the connection can serve another."""
        sized = {"Transfer-Encoding": "chunked"} if self._unsized else {"Content-Length": str(len(reply.body))}
        self._entry.status = reply.status
        self._writer.write(head_of(replace(reply, headers={**reply.headers, **sized})))
        if self._head_only:
            await self._writer.drain()
            return True
        # Only good replies carry what the faults of a body befall.
        whole = await self._body(reply.body) if reply.status in (200, 206) else await self._piece(reply.body)
        if whole and self._unsized:
            self._writer.write(b"0\r\n\r\n")
        await self._writer.drain()
        return whole

    async def _body(self, body: bytes) -> bool:
        """Send the body up to where a fault strikes; return whether all of it left."""
        cut = next((self._struck[fault] for fault in _CUTS if fault in self._struck), None)
        if cut:
            await self._piece(body[: 0 if cut.fault is Fault.ZERO_BYTES else cut.at])
            if self.on_cut:
                self.on_cut()
            return False
        if (rule := self._struck.get(Fault.STALL)) and len(body) > rule.at:
            await self._piece(body[: rule.at])
            await asyncio.sleep(_NEVER_S)
        if (rule := self._struck.get(Fault.DRIP)) and len(body) > rule.at:
            await self._piece(body[: rule.at])
            while True:
                self._writer.write(b"0")
                await self._writer.drain()
                await asyncio.sleep(1)
        if rule := self._struck.get(Fault.PAUSE):
            await self._piece(body[: rule.at])
            await self._wait()
            return await self._piece(body[rule.at :])
        whole = await self._piece(body)
        if Fault.ENDLESS in self._struck:
            for _ in range(ENDLESS_BYTES // CHUNK_BYTES):
                await self._piece(bytes(CHUNK_BYTES))
            return False
        return whole

    async def _piece(self, content: bytes) -> bool:
        slow = self._struck.get(Fault.SLOW)
        size = max(slow.rate // 10, 1) if slow else CHUNK_BYTES
        for start in range(0, len(content), size):
            piece = content[start : start + size]
            if slow:
                await asyncio.sleep(len(piece) / slow.rate)
            self._entry.sent += len(piece)
            self._writer.write(in_chunks(piece) if self._unsized else piece)
            await self._writer.drain()
        return True

    async def _wait(self) -> None:
        """Tell the test that the byte is reached, and wait for its word."""
        self._pause.set()
        await asyncio.to_thread(self._go.wait, _NEVER_S)
