"""Real HTTP servers on loopback that channels speak to: each answers as the test says, and keeps what it got."""

import base64
import hashlib
import hmac
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, slots=True)
class Got:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        """Its body as JSON."""
        found: dict[str, Any] = json.loads(self.body)
        return found

    def proved(self, secret: str) -> bool:
        """Tell whether its signature is of *secret*, as Standard Webhooks tell receivers to find out."""
        head = {name.lower(): value for name, value in self.headers.items()}
        key = base64.b64decode(secret.removeprefix("whsec_"))
        signed = f"{head['webhook-id']}.{head['webhook-timestamp']}.".encode() + self.body
        mac = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        return f"v1,{mac}" in head["webhook-signature"].split()


@dataclass(slots=True)
class Listener:
    """A server, and what it got."""

    url: str
    got: list[Got] = field(default_factory=list)
    answer: Callable[[BaseHTTPRequestHandler], None] | None = None
    """Answers in place of 204."""
    came: threading.Event = field(default_factory=threading.Event)

    def answers(self, status: int, **headers: str) -> None:
        """Let it answer so from now on."""

        def answer(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(status)
            for name, value in headers.items():
                handler.send_header(name.replace("_", "-"), value)
            handler.send_header("Content-Length", "0")
            handler.end_headers()

        self.answer = answer

    def hangs(self, ended: threading.Event) -> None:
        """Let it answer nothing until *ended*, and nothing then."""

        def answer(handler: BaseHTTPRequestHandler) -> None:
            ended.wait(60)
            handler.close_connection = True

        self.answer = answer


@contextmanager
def listening(context: Any = None) -> Iterator[Listener]:
    """Run a server; with an SSL *context*, behind TLS."""
    listener = Listener("")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            listener.got.append(Got(self.path, dict(self.headers.items()), body))
            listener.came.set()
            if listener.answer is None:
                self.send_response(204)
                self.end_headers()
            else:
                listener.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            pass  # who was cut off is what a test wanted

    server = Server(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    listener.url = f"{'https' if context else 'http'}://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield listener
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def raw(speak: Callable[[socket.socket], None]) -> Iterator[str]:
    """Run a server that is no HTTP server: *speak* gets each connection. Yield its URL."""
    own = socket.create_server(("127.0.0.1", 0))
    own.settimeout(0.1)
    ended = threading.Event()

    def serve() -> None:
        while not ended.is_set():
            try:
                connection, _ = own.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            connection.setblocking(True)
            threading.Thread(target=_calmly, args=(speak, connection), daemon=True).start()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{own.getsockname()[1]}"
    finally:
        ended.set()
        thread.join()
        own.close()


def _calmly(speak: Callable[[socket.socket], None], connection: socket.socket) -> None:
    with connection:
        try:
            speak(connection)
        except OSError:
            return
