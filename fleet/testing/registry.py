"""A scriptable registry on a real socket: it serves images, and does wrong whatever a test asks it to.

In a test::

    with ScriptedRegistry() as registry:
        digest = registry.shelf.add_image("library/nginx", "1.27", layers=[b"..."])
        registry.faults.add(Fault.CUT, kind="blobs", at=1000, times=1)
        ...  # ask http://{registry.host}
        assert [entry.status for entry in registry.log if entry.kind == "blobs"] == [200, 206]

As a process: ``python -m fleet.testing.registry --port 5000 --script faults.json --access-log access.jsonl``.
"""

import argparse
import asyncio
import contextlib
import json
import signal
import ssl
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from fleet.testing.distribution import Place, place_of, reply_to
from fleet.testing.entry import Entry
from fleet.testing.faults import Fault, FaultScript
from fleet.testing.gatekeeper import Access, Gatekeeper
from fleet.testing.misconduct import Delivery, misdirected, spoiled
from fleet.testing.shelf import Shelf
from fleet.testing.upstream import Upstream
from fleet.testing.wire import HEADER_CAP_BYTES, NotHttp, Reply, Request, ranged, read_request

_STEP_S = 60.0
"""How long its own thread may take for what takes no time, on a machine that is busy."""


class ScriptedRegistry:
    """One registry with its own thread; a context manager."""

    def __init__(
        self,
        *,
        bind: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        access: Access | None = None,
        script: Path | None = None,
        upstream: Upstream | None = None,
        access_log: Path | None = None,
        base_path: str = "",
    ) -> None:
        """Take port 0 for one that is free, and a path below which the whole registry stands."""
        self.shelf = Shelf()
        self.faults = FaultScript(script)
        self.gatekeeper = Gatekeeper(access or Access())
        self.headers: dict[str, str] = {}
        """Sent with every manifest, as rate limits are."""
        self.log: list[Entry] = []
        self.pause = threading.Event()
        """Set by Fault.PAUSE when its byte is reached."""
        self.go = threading.Event()
        """Set by the test to let a paused body go on."""
        self.port = port
        self._base_path = base_path
        self._bind, self._tls, self._upstream, self._access_log = bind, tls, upstream, access_log
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="scripted-registry", daemon=True)

    @property
    def host(self) -> str:
        """Host and port as an image reference names them."""
        return f"{self._bind}:{self.port}"

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        return f"{'https' if self._tls else 'http'}://{self.host}"

    def start(self) -> Self:
        """Listen, in a thread of its own."""
        self._thread.start()
        self.listen()
        return self

    def stop(self) -> None:
        """Close every connection and end the thread."""
        self.go.set()
        self.refuse()
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(_STEP_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_STEP_S)
        self._loop.close()

    def listen(self) -> None:
        """Take connections."""
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(_STEP_S)

    def refuse(self) -> None:
        """Refuse connections until ``listen`` is called; those that are open stay."""
        asyncio.run_coroutine_threadsafe(self._refuse(), self._loop).result(_STEP_S)

    def drop(self) -> None:
        """Close every open connection; new ones are taken."""
        asyncio.run_coroutine_threadsafe(self._drop(), self._loop).result(_STEP_S)

    @contextmanager
    def down(self) -> Iterator[None]:
        """Refuse connections for a while."""
        self.refuse()
        try:
            yield
        finally:
            self.listen()

    def asked(self, kind: str, method: str = "GET") -> list[Entry]:
        """Return the log's entries of one kind and method."""
        return [entry for entry in self.log if entry.kind == kind and entry.method == method]

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(
            self._connected, self._bind, self.port, ssl=self._tls, limit=HEADER_CAP_BYTES
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def _refuse(self) -> None:
        if self._server:
            self._server.close()
            self._server = None

    async def _drop(self) -> None:
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _end(self) -> None:
        await self._drop()
        if self._upstream:
            await self._upstream.aclose()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while (request := await read_request(reader)) and await self._serve(request, writer):
                pass
        except NotHttp:
            writer.write(b"HTTP/1.0 400 Bad Request\r\nConnection: close\r\n\r\n")
        except ConnectionError:
            pass
        except asyncio.CancelledError:
            # A client that does not read would keep an orderly close, or TLS's farewell, waiting for ever.
            writer.transport.abort()
        finally:
            self._connections.discard(task)
            with contextlib.suppress(Exception):
                writer.close()

    async def _serve(self, request: Request, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; return whether the connection can serve another."""
        within = request.path.startswith(self._base_path)
        place = place_of(request.path.removeprefix(self._base_path)) if within else Place("")
        struck = self.faults.strike(request.method, place.kind, place.repository, place.tail)
        entry = _entry(request, place, writer, tuple(struck))
        self.log.append(entry)
        head_only = request.method == "HEAD"
        delivery = Delivery(writer, struck, entry, head_only=head_only, pause=self.pause, go=self.go)
        try:
            if not await delivery.begins():
                return False
            reply = await self._reply(request, place, struck)
            delivery.on_cut = self.gatekeeper.revoke if Fault.TOKEN_EXPIRES in struck else None
            return await delivery.send(reply)
        finally:
            self._write_down(entry)

    async def _reply(self, request: Request, place: Place, struck: Mapping[Fault, Any]) -> Reply:
        if astray := misdirected(request, struck):
            return astray
        if place.kind == "token":
            return spoiled(self.gatekeeper.token(request), struck)
        if refusal := self.gatekeeper.refusal(request, self.url, place.repository):
            return refusal
        if self._upstream:
            await self._upstream.fetch(place, self.shelf)
        reply = reply_to(request, place, self.shelf, stale=Fault.STALE_TAG in struck)
        if place.kind == "manifests":
            reply.headers.update(self.headers)
        reply = spoiled(reply, struck)
        wanted = request.headers.get("range", "")
        return ranged(reply, wanted) if wanted and reply.status == 200 and Fault.NO_RANGE not in struck else reply

    def _write_down(self, entry: Entry) -> None:
        if self._access_log:
            with self._access_log.open("a") as file:
                file.write(json.dumps(asdict(entry)) + "\n")


def _entry(request: Request, place: Place, writer: asyncio.StreamWriter, faults: Iterable[str]) -> Entry:
    return Entry(
        at=time.time(),
        client=str((writer.get_extra_info("peername") or ("",))[0]),
        method=request.method,
        path=request.path,
        query=request.query,
        kind=place.kind,
        repository=place.repository,
        tail=place.tail,
        headers=request.headers,
        faults=tuple(str(fault) for fault in faults),
    )


def main(arguments: list[str] | None = None) -> None:
    """Run one registry until it is told to end."""
    given = _parser().parse_args(arguments)
    tls = None
    if given.cert:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(given.cert, given.key)
    name, _, password = given.user.partition(":")
    access = Access(scheme="basic", username=name, password=password) if name else Access()
    if given.realm:
        access = Access(scheme="bearer", realm=given.realm)
    registry = ScriptedRegistry(
        bind=given.bind,
        port=given.port,
        tls=tls,
        access=access,
        script=given.script,
        upstream=Upstream(given.upstream, ca_file=given.upstream_ca) if given.upstream else None,
        access_log=given.access_log,
    )
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    with registry:
        ended.wait()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m fleet.testing.registry", description=__doc__)
    add = parser.add_argument
    add("--bind", default="127.0.0.1", help="address to listen on")
    add("--port", type=int, default=5000)
    add("--script", type=Path, help='JSON: {"rules": [{"fault": "wrong_bytes", "kind": "blobs"}]}')
    add("--upstream", default="", help="URL of a registry to serve what is not held here")
    add("--upstream-ca", default="", help="PEM file of the upstream's authority")
    add("--cert", type=Path, help="PEM file: serve over TLS")
    add("--key", type=Path)
    add("--user", default="", help="name:password that Basic asks for")
    add("--realm", default="", help="URL of where tokens are given: asked for then, given at /token")
    add("--access-log", type=Path, help="file to which each request is added as a line of JSON")
    return parser


if __name__ == "__main__":
    main()
