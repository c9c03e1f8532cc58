"""An engine API on a unix socket that answers by a script."""

import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

Answer = tuple[int, Any] | Callable[["Handler"], None]
"""Status and JSON (a list is a stream of lines), or what is done with the connection instead."""


@dataclass(slots=True)
class Script:
    """What the socket answers, and what it was asked."""

    url: str
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    """``METHOD /path`` without the version -> the answers in turn, the last one for ever."""
    asked: list[str] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)

    def on(self, request: str, *answers: Answer) -> None:
        """Answer *request* so."""
        self.answers[request] = list(answers)

    def next(self, request: str) -> Answer:
        """Return the answer to *request*."""
        waiting = self.answers.get(request, [(404, {"message": f"No such thing: {request}"})])
        return waiting.pop(0) if len(waiting) > 1 else waiting[0]


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    script: Script
    protocol_version = "HTTP/1.1"

    def do_any(self) -> None:
        path = self.path.partition("?")[0]
        short = "/" + path.lstrip("/").partition("/")[2] if path.startswith("/v1.") else path
        self.script.asked.append(f"{self.command} {self.path}")
        length = int(self.headers.get("Content-Length") or 0)
        self.script.bodies.append(json.loads(self.rfile.read(length)) if length else None)
        answer = self.script.next(f"{self.command} {short}")
        if callable(answer):
            answer(self)
            return
        status, value = answer
        text = "\n".join(map(json.dumps, value)) if isinstance(value, list) else json.dumps(value)
        body = b"" if status in (204, 304) else text.encode()
        self.send_response(status)
        if status not in (204, 304):
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_DELETE = do_any  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Stay silent."""

    def address_string(self) -> str:
        return "unix"


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    block_on_close = False


@pytest.fixture
def script(tmp_path: Path) -> Iterator[Script]:
    """Serve a script with the version of an old engine."""
    path = tmp_path / "docker.sock"
    script = Script(f"unix://{path}")
    script.on("GET /version", (200, {"ApiVersion": "1.41", "Version": "20.10"}))
    script.on("GET /_ping", (200, "OK"))
    handler = type("Scripted", (Handler,), {"script": script})
    with _Server(str(path), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield script
        server.shutdown()
        thread.join()
