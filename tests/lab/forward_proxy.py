"""A proxy that tunnels for whoever shows its login, and keeps all that it sees: ``python -m tests.lab.forward_proxy PORT LOGIN FOLDER``.

In FOLDER, ``heads.jsonl`` has what each connection asked for, and ``seen`` every byte that clients sent through: what whoever
runs a proxy could read.
"""

import asyncio
import base64
import json
import sys
from pathlib import Path

PIECE_BYTES = 256 * 1024


class ForwardProxy:
    """Knows CONNECT alone."""

    def __init__(self, login: str, folder: Path) -> None:
        self._proof = "Basic " + base64.b64encode(login.encode()).decode()
        self._heads, self._seen = folder / "heads.jsonl", folder / "seen"
        self._seen.touch()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection to its end."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        with self._heads.open("a") as file:
            file.write(json.dumps({"first": first, "headers": headers}) + "\n")
        method, target, _ = first.split(" ")
        if headers.get("proxy-authorization") != self._proof:
            writer.write(b'HTTP/1.1 407 Login\r\nProxy-Authenticate: Basic realm="site"\r\nContent-Length: 0\r\n\r\n')
        elif method != "CONNECT":
            writer.write(b"HTTP/1.1 405 Tunnels alone\r\nContent-Length: 0\r\n\r\n")
        else:
            host, _, port = target.rpartition(":")
            there, out = await asyncio.open_connection(host, int(port))
            writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
            await asyncio.gather(self._pump(reader, out, seen=True), self._pump(there, writer))
        writer.close()

    async def _pump(self, one: asyncio.StreamReader, other: asyncio.StreamWriter, *, seen: bool = False) -> None:
        try:
            while piece := await one.read(PIECE_BYTES):
                if seen:
                    with self._seen.open("ab") as file:
                        file.write(piece)
                other.write(piece)
                await other.drain()
        except ConnectionError:
            pass
        finally:
            other.close()


async def main(port: int, login: str, folder: Path) -> None:
    """Serve for ever."""
    server = await asyncio.start_server(ForwardProxy(login, folder).serve, "0.0.0.0", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])))
