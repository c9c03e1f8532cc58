"""The gateway itself: a loopback registry in a thread of its own, for as long as its owner keeps it open."""

import asyncio
import contextlib
import logging
import secrets
import socket
import threading
from collections.abc import Coroutine, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import uvicorn

from fleet.clock import Clock
from fleet.errors import Refused
from fleet.gateway.app import GatewayApp
from fleet.gateway.canary import Canary
from fleet.gateway.door import TAKEN_AT_ONCE, WAITING, DoorProtocol
from fleet.gateway.flights import Flights
from fleet.gateway.ledger import Ledger
from fleet.gateway.limits import Limits
from fleet.gateway.session import Session
from fleet.gateway.spool import Spool
from fleet.gateway.upstreams import Upstreams
from fleet.gateway.wanted import Means
from fleet.images.digest import Digest
from fleet.images.reference import Reference
from fleet.mirrors.breakers import Breakers
from fleet.mirrors.strangers import Strangers
from fleet.mirrors.table import MirrorTable
from fleet.registry.credentials import CredentialSource
from fleet.registry.proxies import Proxies
from fleet.registry.tls import DOCKER_CERTS

DEFAULT_PORT = 5999
"""The same on every host and at every start, because engines remember the names they pulled by."""
_LOOPBACK = "127.0.0.1"

log = logging.getLogger(__name__)
T = TypeVar("T")


class Gateway:
    """Listens on loopback from ``start`` to ``close``; its methods may be called from any thread."""

    def __init__(
        self,
        spool: Path,
        *,
        credentials: CredentialSource,
        clock: Clock,
        port: int = DEFAULT_PORT,
        limits: Limits | None = None,
        proxies: Proxies | None = None,
        certs: Sequence[Path] = DOCKER_CERTS,
    ) -> None:
        """Take the folder for bytes on their way; open nothing yet."""
        self.port = port
        """The port that it listens on; 0 until it is known."""
        self._spool, self._clock, self._limits = spool, clock, limits or Limits()
        self._upstreams = Upstreams(
            credentials=credentials, limits=self._limits, clock=clock, proxies=proxies, certs=certs
        )
        self._breakers = Breakers(clock, long_s=self._limits.patience.connect_s)
        self._strangers = Strangers(clock)
        self._spare = asyncio.Semaphore(self._limits.spare_connections)
        self._via = f"1.1 fleet-{secrets.token_hex(8)}"
        self._sessions: list[Session] = []
        self._canaries: list[Canary] = []
        self._loop: asyncio.AbstractEventLoop
        self._readers: ThreadPoolExecutor
        self._thread: threading.Thread | None = None
        self._server: _Server | None = None
        self._serving: Future[None] | None = None

    def start(self) -> None:
        """Listen; raise OSError where the port or the spool cannot be had."""
        self._flights = Flights(Spool(self._spool, cap_bytes=self._limits.spool_bytes))
        listener = _listen(self.port)
        self.port = int(listener.getsockname()[1])
        app = GatewayApp(self._sessions, self._canaries, limits=self._limits, via=self._via)
        config = uvicorn.Config(
            app,
            http=DoorProtocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            # A body that is withheld on purpose is an error in the server's eyes, and no news.
            log_level=logging.CRITICAL,
            access_log=False,
            server_header=False,
            date_header=False,
            backlog=TAKEN_AT_ONCE,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=1,
        )
        self._server = _Server(config)
        self._loop = asyncio.new_event_loop()
        # A body that is read keeps a thread of it waiting for the next bytes: none may wait for another one's.
        self._readers = ThreadPoolExecutor(self._limits.readers, "gateway-read")
        self._loop.set_default_executor(self._readers)
        self._thread = threading.Thread(target=self._loop.run_forever, name="gateway", daemon=True)
        self._thread.start()
        self._serving = asyncio.run_coroutine_threadsafe(self._server.serve(sockets=[listener]), self._loop)
        if not self._server.listening.wait(self._limits.start_s):
            with contextlib.suppress(Exception):
                self.close()
            raise OSError(0, "the gateway's thread does not begin to listen")
        listener.listen(WAITING)

    @property
    def host(self) -> str:
        """Host and port, as references name them."""
        return f"{_LOOPBACK}:{self.port}"

    def open(self, reference: Reference, digest: Digest, table: MirrorTable) -> Session:
        """Begin to serve one pull; the caller ends it with ``end``."""
        means = Means(
            table=table,
            own=frozenset({self.host, f"localhost:{self.port}", f"[::1]:{self.port}"}),
            upstreams=self._upstreams,
            breakers=self._breakers,
            strangers=self._strangers,
            ledger=Ledger(),
            limits=self._limits,
            clock=self._clock,
            spare=self._spare,
            via=self._via,
        )
        session = Session(reference=reference, digest=digest, means=means, flights=self._flights)
        self._sessions.append(session)
        return session

    @contextlib.contextmanager
    def canary(self, os: str, architecture: str) -> Iterator[Canary]:
        """Serve a tiny image of that platform for a while, to be pulled as a try."""
        canary = Canary(os=os, architecture=architecture)
        self._canaries.append(canary)
        try:
            yield canary
        finally:
            self._canaries.remove(canary)

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Begin *work* of a session in the gateway's own thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def forget_strangers(self) -> None:
        """Ask every global mirror for every registry again."""
        self._loop.call_soon_threadsafe(self._strangers.forget)

    def abort(self, session: Session, reason: str, *, told: bool = True) -> None:
        """End *session* at once: what the engine still waits for does not come. *told* is as in ``end``."""
        self._loop.call_soon_threadsafe(partial(session.abort, reason, told=told))

    def end(self, session: Session, *, kept: bool = False, told: bool = True) -> None:
        """Stop serving *session*, and give its disk space back unless its bytes are to be *kept* for another pull.

        *told*: whether its attempts get into the history; where not, the pull that finds these bytes tells of them.
        """
        if session in self._sessions:
            self._sessions.remove(session)
        self._run(_call(lambda: session.end(kept=kept, told=told)))

    def close(self) -> None:
        """Stop listening, and end the thread."""
        if self._thread is None or self._server is None or self._serving is None:
            return
        for session in list(self._sessions):
            self.end(session, kept=True, told=False)
        self._server.should_exit = True
        with contextlib.suppress(Exception):
            self._serving.result(self._limits.start_s)
        self._run(self._upstreams.aclose())
        self._run(self._flights.settled())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(self._limits.start_s)
        self._readers.shutdown(wait=False)
        self._thread = None
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            return self.submit(work).result(self._limits.start_s)
        except TimeoutError as error:
            raise Refused("cannot use the gateway: its thread does not answer") from error


class _Server(uvicorn.Server):
    """Tells other threads when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        self.listening.set()


def _listen(port: int) -> socket.socket:
    """Return a listening socket on *port*, or on any other where another program has that one."""
    try:
        return socket.create_server((_LOOPBACK, port), backlog=128)
    except OSError as error:
        if not port:
            raise
        log.warning("gateway port is taken, using another", extra={"port": port, "reason": error.strerror})
        return socket.create_server((_LOOPBACK, 0), backlog=128)


async def _call(act: Any) -> None:
    act()
