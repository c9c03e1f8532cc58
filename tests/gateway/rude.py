"""A mirror that speaks HTTP to the byte as a test likes it: what a well-made server library would never let through."""

import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from fleet.testing.shelf import Shelf


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request, and the line to whoever asks."""

    line: socket.socket
    kind: str
    tail: str
    headers: dict[str, str]
    content: bytes
    """What a sound registry would give."""
    gone: threading.Event
    """Set when the test is over."""

    def say(self, *pieces: bytes, every_s: float = 0.0) -> None:
        """Send *pieces*, one after the other."""
        for piece in pieces:
            self.line.sendall(piece)
            time.sleep(every_s)

    def drip(self, piece: bytes, every_s: float) -> None:
        """Send *piece* again and again, until nobody listens."""
        with suppress(OSError):
            while not self.gone.wait(every_s):
                self.line.sendall(piece)


Manner = Callable[[Asked], None]
"""Answers one request; the connection is closed after it."""


@dataclass(slots=True, kw_only=True)
class Rude:
    """One such mirror."""

    url: str
    gone: threading.Event = field(default_factory=threading.Event)
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Kind and tail of each request."""


@contextmanager
def rude(shelf: Shelf, repository: str, manner: Manner, *, family: int = socket.AF_INET) -> Iterator[Rude]:
    """Serve what *shelf* has of *repository* in that *manner*."""
    held = shelf.repository(repository)
    documents = {str(d): raw for d, (_, raw) in held.manifests.items()}
    documents |= {str(d): raw for d, raw in held.blobs.items()}
    mirror = Rude(url="")

    class Answering(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            head = self.rfile.readline().decode("latin-1").split(" ")
            lines = iter(lambda: self.rfile.readline().decode("latin-1").strip(), "")
            headers = {name.strip().lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)}
            if len(head) != 3:
                return
            kind, _, tail = head[1].rpartition("/")
            kind = kind.rpartition("/")[2]
            mirror.asked.append((kind, tail))
            with suppress(OSError):
                content = documents.get(tail, b"")
                line, gone = self.request, mirror.gone
                manner(Asked(line=line, kind=kind, tail=tail, headers=headers, content=content, gone=gone))

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads, allow_reuse_address, address_family = True, True, family

    host = "::1" if family == socket.AF_INET6 else "127.0.0.1"
    with Server((host, 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        named = f"[{host}]" if ":" in host else host
        mirror.url = f"http://{named}:{server.server_address[1]}"
        try:
            yield mirror
        finally:
            mirror.gone.set()
            server.shutdown()
            thread.join()


def sized(content: bytes, *more: bytes, status: bytes = b"200 OK", version: bytes = b"HTTP/1.1") -> bytes:
    """Return the head of an answer that announces the size of *content*."""
    lines = [version + b" " + status, b"Content-Length: %d" % len(content), b"Connection: close", *more]
    return b"\r\n".join([*lines, b"", b""])


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"


def chunk(content: bytes) -> bytes:
    """Return *content* as one chunk."""
    return b"%x\r\n" % len(content) + content + b"\r\n"
