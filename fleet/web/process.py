"""The web process: the API at the unix socket, and where asked at a TLS port, until SIGTERM."""

import asyncio
import contextlib
import logging
import os
import resource
import signal
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from fleet.clock import Clock, SystemClock
from fleet.errors import BadInput, DatabaseUnreachable, Refused
from fleet.history.sql.database import Database
from fleet.history.upkeep.upgrade import require_head
from fleet.settings.centre import CentreSettings, WebSettings
from fleet.web.app import create_app
from fleet.web.doors import TAKEN_AT_ONCE, WAITING, Behind, Door, PeerProtocol
from fleet.web.knocking import Listener

log = logging.getLogger(__name__)

LONGEST_WAIT_S = 30.0
"""The longest wait for a database that is away; it begins at one second and doubles."""
STOP_S = 10
"""Seconds that requests get to end after SIGTERM."""
KEEP_ALIVE_S = 30
LONGEST_SOCKET = 107
"""Bytes that the path of a unix socket may have on Linux."""


def run(settings: CentreSettings) -> None:
    """Serve until SIGTERM; raise Refused for a database of another shape, BadInput for a door that cannot be opened."""
    _allow_files()
    db = Database.open(settings.database_url)
    try:
        wait_for_database(db, SystemClock())
        app = create_app(settings, db)
        with contextlib.ExitStack() as doors:
            asyncio.run(_serve(_servers(app, settings, doors), app.state.centre.feed.end))
    finally:
        db.close()


def _allow_files() -> None:
    """Take as many open files as the system allows: connections that have said nothing yet must not use up those of the socket."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def wait_for_database(db: Database, clock: Clock) -> None:
    """Return once the database answers and has this program's shape; raise Refused where it has another."""
    wait = 1.0
    while True:
        try:
            require_head(db)
            return
        except DatabaseUnreachable as error:
            log.warning("database away", extra={"reason": str(error), "again_in_s": wait})
            clock.sleep(wait)
            wait = min(wait * 2, LONGEST_WAIT_S)


@dataclass(frozen=True, slots=True)
class _Served:
    """One door with what listens behind it."""

    server: "Server"
    socket: socket.socket


class Server(uvicorn.Server):
    """A server that leaves signals to the process: two of them would take them from each other."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        for each in sockets or ():
            each.listen(WAITING)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def _servers(app: ASGIApp, settings: CentreSettings, doors: contextlib.ExitStack) -> list[_Served]:
    local = doors.enter_context(unix_socket(settings.socket))
    served = [_Served(Server(config_of(Behind(app, Door.SOCKET))), local)]
    log.info("listening", extra={"socket": str(settings.socket)})
    if settings.web.listen:
        port = doors.enter_context(contextlib.closing(port_socket(settings.web.listen)))
        config = config_of(Behind(app, Door.PORT), **tls_options(settings.web))
        served.append(_Served(Server(config), port))
        log.info("listening", extra={"address": settings.web.listen, "tls": not settings.web.plaintext})
    return served


async def _serve(served: list[_Served], end_streams: Callable[[], None]) -> None:
    def end() -> None:
        end_streams()
        for each in served:
            each.server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    await asyncio.gather(*(each.server.serve(sockets=[each.socket]) for each in served))


def config_of(app: ASGIApp, **more: Any) -> uvicorn.Config:
    """Return how *app* is served at one door."""
    return uvicorn.Config(
        app,
        lifespan="off",
        http=PeerProtocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        # Who is at the other end is told by the kernel or by a token, never by a header.
        proxy_headers=False,
        timeout_graceful_shutdown=STOP_S,
        timeout_keep_alive=KEEP_ALIVE_S,
        backlog=TAKEN_AT_ONCE,
        **more,
    )


@contextlib.contextmanager
def unix_socket(path: Path) -> Iterator[socket.socket]:
    """Yield a socket at *path* that its owner alone may use; raise Refused where another process listens there."""
    if len(os.fsencode(path)) > LONGEST_SOCKET:
        raise BadInput(f"cannot listen at {path}: the path is too long for a unix socket; set FLEET_SOCKET")
    _clear(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    old = os.umask(0o177)
    try:
        listening.bind(str(path))
    except OSError as e:
        listening.close()
        raise BadInput(f"cannot listen at {path}: {e.strerror}; set FLEET_SOCKET to a path in a folder of yours") from e
    finally:
        os.umask(old)
    inode = path.stat().st_ino
    try:
        yield listening
    finally:
        listening.close()
        with contextlib.suppress(OSError):
            if path.stat().st_ino == inode:
                path.unlink()


def port_socket(listen: str) -> socket.socket:
    """Return a socket at ``host:port``; raise BadInput where that cannot be opened."""
    host, colon, port = listen.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise BadInput(f"cannot listen at {listen!r}; expected HOST:PORT, such as 0.0.0.0:8443")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = Listener(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, int(port)))
    except OSError as e:
        listening.close()
        raise BadInput(f"cannot listen at {listen}: {e.strerror}; set FLEET_LISTEN") from e
    return listening


def _clear(path: Path) -> None:
    """Remove a socket that a process which was killed left behind."""
    if not path.is_socket():
        return
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as probe:
        probe.settimeout(2.0)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return
        except OSError as e:
            raise BadInput(f"cannot listen at {path}: {e.strerror}") from e
    raise Refused(f"cannot listen at {path}: another process does; is Fleet running already?")


def tls_options(web: WebSettings) -> dict[str, Any]:
    """Return what uvicorn needs for TLS; raise BadInput where the port would speak without it unasked."""
    if web.plaintext:
        return {}
    if not web.certificate_file or not web.key_file:
        raise BadInput(
            f"cannot open the port {web.listen} without TLS; set FLEET_WEB_CERTIFICATE_FILE and FLEET_WEB_KEY_FILE, "
            "or FLEET_WEB_PLAINTEXT=true behind a proxy that adds it"
        )
    try:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(web.certificate_file, web.key_file)
    except OSError as e:
        raise BadInput(
            f"cannot use the port's certificate or key: {e.strerror or 'not PEM, or they do not fit'}"
        ) from e
    return {"ssl_certfile": web.certificate_file, "ssl_keyfile": web.key_file}
