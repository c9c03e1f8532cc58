"""What stands between one agent and its engine: it counts the points of the update, and at one of them lets a fault happen."""

import contextlib
import http.client
import http.server
import json
import re
import select
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.injection.asking import OverSocket
from tests.injection.faults import DONE, DURING, OF_THE_ENGINE, Fault, Point
from tests.injection.shapes import FOLLOWER

UNDER_WAY_S = 0.02
"""How long a request has been under way when its caller or its engine is killed."""
MEETING_S = 300.0
"""How long a request waits for the kill of the engine, which is one for many containers."""
_SAME_TWICE = 2
"""Of equal requests in a row, as polls are, no more than this many are points."""
_CONTAINER = re.compile(r"^/v[\d.]+/containers/([^/?]+)(/[a-z]+)?")
_EXEC = re.compile(r"exec/[0-9a-f]{64}")
_HOP = ("connection", "upgrade", "transfer-encoding", "content-length", "keep-alive")


class Meeting:
    """The kill of an engine, for which the requests of many agents wait."""

    def __init__(self) -> None:
        self.now, self.over = threading.Event(), threading.Event()
        """Set when the engine is about to be killed, and when it is dead."""
        self._there = threading.Semaphore(0)

    def arrive(self) -> None:
        """Tell that one more request is here."""
        self._there.release()

    def await_all(self, number: int, within_s: float) -> int:
        """Wait until *number* are here; return how many are."""
        ends = time.monotonic() + within_s
        return sum(self._there.acquire(timeout=max(0.0, ends - time.monotonic())) for _ in range(number))


class Between:
    """The socket of one agent's engine, for one container."""

    def __init__(self, socket_path: Path, engine: str, container: str) -> None:
        """Listen at *socket_path*, and ask the engine at the socket *engine*; *container* is the update's."""
        self.path, self.engine, self.container = socket_path, engine, container
        self.names: dict[str, str] = {}
        """Container id -> ``old``, ``new``, in the order in which they came."""
        self.points: list[Point] = []
        self.fault: Fault | None = None
        self.at = -1
        self.met = ""
        """The label of the point at which the fault happened; empty until then."""
        self.meeting = Meeting()
        self.kill_agent: Callable[[], None] = lambda: None
        self.fill_disk: Callable[[], None] = lambda: None
        self._lock = threading.Lock()
        self._server = _Server(str(socket_path), self)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def begin(self, names: Mapping[str, str]) -> None:
        """Count anew, for an update of the containers whose ids *names* names."""
        self.names, self.points, self.met, self.fault = dict(names), [], "", None

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()

    def fault_at(self, method: str, url: str) -> Fault | None:
        """Count this request, and return what shall befall it."""
        label = self._label(method, url)
        with self._lock:
            last = [point.label for point in self.points[-_SAME_TWICE:]]
            if not label or (last == [label] * _SAME_TWICE and method == "GET"):
                return None
            point = Point(number=len(self.points), label=label)
            self.points.append(point)
            if self.fault is None or point.number != self.at:
                return None
            self.met = label
            return self.fault

    def learn(self, url: str, body: bytes) -> None:
        """Remember the id of a container that was just made."""
        if "/containers/create?" in url:
            with contextlib.suppress(ValueError, KeyError):
                whose = f"{FOLLOWER}'s " if f"name={self.container}.{FOLLOWER}" in url else ""
                name = whose + ("new" if "fleet-new" in url else "again")
                self.names.setdefault(str(json.loads(body)["Id"]), name)

    def _label(self, method: str, url: str) -> str:
        """Return what kind of request it is; empty for one about another's container."""
        if url.startswith("/journal/"):
            return url.removeprefix("/journal/").replace("/", " ", 1)
        path = url.partition("?")[0]
        found = _CONTAINER.match(path)
        if found is None or found[1] in ("json", "create"):
            plain = _EXEC.sub("exec/ID", re.sub(r"(images/).*(/\w+)$", r"\1IMAGE\2", path))
            return f"{method} " + re.sub(r"^/v[\d.]+/", "", plain).lstrip("/")
        known = self.names.get(found[1])
        if known is None and not found[1].startswith(self.container):
            return ""
        return f"{method} {known or 'name'}{found[2] or ''}"


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, path: str, between: Between) -> None:
        super().__init__(path, _Handler)
        self.between = between

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: who was killed, or had no patience, leaves a broken connection."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def handle_request(self) -> None:
        """Pass the request on, unless this is where the fault happens."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.server.between.fault_at(self.command, self.path)
        if self.path.startswith("/journal/"):
            self._moment(fault)
        elif fault is None:
            self._answer(*self._ask(body))
            # What a command wrote is read until its end, which is the connection's.
            self.close_connection = self.close_connection or (self.path.endswith("/start") and "/exec/" in self.path)
        elif fault in OF_THE_ENGINE:
            self._with_the_engine(fault, body)
        else:
            self._alone(fault, body)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = handle_request  # noqa: N815 - http.server's names

    def log_message(self, format: str, *args: Any) -> None:
        """Write no log."""

    def _moment(self, fault: Fault | None) -> None:
        """Let what is to happen at this moment of the journal happen."""
        between = self.server.between
        if fault is Fault.KILL:
            between.kill_agent()
        elif fault is Fault.FULL:
            between.fill_disk()
        elif fault is not None:
            between.meeting.arrive()
            between.meeting.over.wait(MEETING_S)
        self._answer(204, {}, b"")

    def _alone(self, fault: Fault, body: bytes) -> None:
        """Let this one agent meet *fault*."""
        between = self.server.between
        if fault is Fault.KILL_DURING:
            self._send_and(body, between.kill_agent)
        elif fault in DONE:
            self._ask(body)
        if fault in (Fault.ERROR, Fault.ERROR_DONE):
            self._answer(500, {"Content-Type": "application/json"}, b'{"message": "an injected error"}')
            return
        if fault in (Fault.KILL, Fault.KILL_DONE):
            between.kill_agent()
        if fault in (Fault.HANG, Fault.HANG_DONE):
            self._until_given_up()
        self.close_connection = True

    def _with_the_engine(self, fault: Fault, body: bytes) -> None:
        """Wait for the kill of the engine, and let no answer through."""
        meeting = self.server.between.meeting
        if fault in DONE:
            self._ask(body)
        meeting.arrive()
        if fault in DURING:
            meeting.now.wait(MEETING_S)
            self._send_and(body, lambda: bool(meeting.over.wait(MEETING_S)))
        meeting.over.wait(MEETING_S)
        self.close_connection = True

    def _send_and(self, body: bytes, then: Callable[[], object]) -> None:
        """Send the request to the engine, do *then* a moment later, and hang up."""
        upstream = OverSocket(self.server.between.engine)
        try:
            upstream.request(self.command, self.path, body, self._own_headers())
            time.sleep(UNDER_WAY_S)
            then()
        finally:
            upstream.close()

    def _ask(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """Return what the engine answers; where it is away, hang up."""
        between = self.server.between
        upstream = OverSocket(between.engine)
        try:
            upstream.request(self.command, self.path, body, self._own_headers())
            answer = upstream.getresponse()
            told = answer.read()
            between.learn(self.path, told)
            return answer.status, dict(answer.getheaders()), told
        except (OSError, http.client.HTTPException):
            self.close_connection = True
            raise
        finally:
            upstream.close()

    def _own_headers(self) -> dict[str, str]:
        return {name: value for name, value in self.headers.items() if name.lower() not in _HOP}

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in _HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _until_given_up(self) -> None:
        """Answer nothing until the agent hangs up."""
        ends = time.monotonic() + MEETING_S
        while time.monotonic() < ends:
            if select.select([self.connection], [], [], 1.0)[0]:
                with contextlib.suppress(OSError):
                    if not self.connection.recv(1, socket.MSG_PEEK):
                        return
