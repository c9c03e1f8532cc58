"""A small proxy in front of the containers of one network alias: ``python -m tests.lab.proxy ALIAS PORT``.

It runs in the network of a container, asks the engine's own name server for each request, and tries each address once:
one that does not answer is passed over, as the usual proxies do. Where none answers it looks them up once more, at once,
as the usual proxies that retry do: what it looked up may be old by the time that it is used. It waits for no container
and keeps nothing.
"""

import http.client
import random
import socket
import struct
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NAME_SERVER = ("127.0.0.11", 53)
NAMED_WITHIN_S = (0.5, 0.5, 0.5)
"""Patience with the name server, and how many times it is asked: what goes by UDP may be lost."""
LOOKS = 2
"""How many times a request looks up the addresses and tries each."""
CONNECT_WITHIN_S = 0.2
ANSWER_WITHIN_S = 2.0
_QUESTION = struct.Struct(">HHHHHH")
_RECORD = struct.Struct(">HHIH")
_A = 1


class Proxy(ThreadingHTTPServer):
    """Listens on every address of its network."""

    daemon_threads = True

    def __init__(self, alias: str, port: int) -> None:
        """Serve on *port* what the containers called *alias* serve on port 80."""
        super().__init__(("0.0.0.0", port), _Request)
        self.alias = alias

    def ask(self, path: str) -> tuple[int, bytes]:
        """Return the first answer that one of the containers gives; 502 where none does, with what each one did."""
        told: list[str] = []
        for _ in range(LOOKS):
            found = addresses(self.alias)
            told.append(f"{self.alias} is at {found}")
            for address in found:
                try:
                    return _ask(address, path)
                except (OSError, http.client.HTTPException) as e:
                    told.append(f"{address}: {e!r}")
        return 502, "; ".join(told).encode()


class _Request(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Proxy)
        status, body = self.server.ask(self.path)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def addresses(alias: str) -> list[str]:
    """Return the IPv4 addresses of *alias* as they are now, in any order; none where the name server does not answer."""
    number = random.randrange(2**16)
    name = b"".join(bytes((len(part),)) + part.encode() for part in alias.split(".")) + b"\0"
    answer = _named(_QUESTION.pack(number, 0x0100, 1, 0, 0, 0) + name + struct.pack(">HH", _A, 1))
    if not answer:
        return []
    found = list(_records(answer, _QUESTION.size + len(name) + 4, _QUESTION.unpack_from(answer)[3]))
    random.shuffle(found)
    return found


def _named(question: bytes) -> bytes:
    """Return the name server's answer to *question*, empty where there is none in time."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        for patience_s in NAMED_WITHIN_S:
            asked.settimeout(patience_s)
            asked.sendto(question, NAME_SERVER)
            try:
                return asked.recv(4096)
            except TimeoutError:
                continue
    return b""


def _records(answer: bytes, at: int, count: int) -> Iterator[str]:
    for _ in range(count):
        while answer[at] and answer[at] < 0xC0:
            at += 1 + answer[at]
        at += 2 if answer[at] else 1
        kind, _, _, size = _RECORD.unpack_from(answer, at)
        at += _RECORD.size
        if kind == _A:
            yield socket.inet_ntoa(answer[at : at + 4])
        at += size


def _ask(address: str, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(address, 80, timeout=CONNECT_WITHIN_S)
    try:
        connection.connect()
        assert connection.sock is not None
        connection.sock.settimeout(ANSWER_WITHIN_S)
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


if __name__ == "__main__":
    Proxy(sys.argv[1], int(sys.argv[2])).serve_forever()
