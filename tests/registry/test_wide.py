"""Bodies come in large pieces, over TLS too, and are the same bytes."""

import asyncio
import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from fleet.registry.address import Address
from fleet.registry.client import RegistryClient
from fleet.registry.credentials import NoCredentials
from fleet.registry.faults import ExchangeFailed, Failure
from fleet.registry.proxies import Proxies
from fleet.testing.certificates import TestAuthority
from fleet.testing.faults import Fault
from fleet.testing.registry import ScriptedRegistry

LAYER = os.urandom(4 * 1024 * 1024)
RECORD_BYTES = 16 * 1024
"""The most that one record of TLS holds."""


@contextmanager
def registry_over(scheme: str, folder: Path) -> Iterator[tuple[ScriptedRegistry, Address]]:
    """Start a registry, and give it with how to ask it."""
    authority = TestAuthority()
    context = None
    if scheme == "https":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*authority.issue(["127.0.0.1"], folder))
    with ScriptedRegistry(tls=context) as registry:
        ca_file = str(authority.write(folder / "ca.pem")) if context else ""
        yield registry, Address(scheme=scheme, host=registry.host, ca_file=ca_file)


def test_what_has_come_over_tls_is_read_at_once(tmp_path: Path) -> None:
    """A record at a time would be 256 pieces for these 4 MiB."""
    with registry_over("https", tmp_path) as (registry, address):
        digest = registry.shelf.add_blob("team/app", LAYER)
        pieces = asyncio.run(read(address, str(digest)))
    assert b"".join(pieces) == LAYER
    assert len(pieces) < len(LAYER) / (2 * RECORD_BYTES)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_rest_of_a_body_is_read_past_the_library_which_uses_the_connection_again(
    scheme: str, tmp_path: Path
) -> None:
    """The library counts what it did not see; an update of it that has this undone must fail here."""
    with registry_over(scheme, tmp_path) as (registry, address):
        digest = str(registry.shelf.add_blob("team/app", LAYER))
        bodies, sockets = asyncio.run(read_past(address, [digest, digest, digest]))
    assert bodies == [LAYER, LAYER, LAYER]
    assert len(sockets) == 1


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_rest_that_breaks_off_says_so(scheme: str, tmp_path: Path) -> None:
    with registry_over(scheme, tmp_path) as (registry, address):
        digest = str(registry.shelf.add_blob("team/app", LAYER))
        registry.faults.add(Fault.CUT, at=len(LAYER) // 2)
        with pytest.raises(ExchangeFailed) as caught:
            asyncio.run(read_past(address, [digest]))
    assert caught.value.failure is Failure.CUT
    assert str(caught.value) == f"cannot go on reading {address}/v2/team/app/blobs/{digest}: it was cut off"


def test_a_rest_that_does_not_come_is_not_waited_for_longer_than_asked(tmp_path: Path) -> None:
    with registry_over("https", tmp_path) as (registry, address):
        digest = str(registry.shelf.add_blob("team/app", LAYER))
        registry.faults.add(Fault.STALL, at=len(LAYER) // 2)
        bodies, _ = asyncio.run(read_past(address, [digest], patient=False))
    assert bodies == [LAYER[: len(LAYER) // 2]]


def test_an_address_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor one that refuses: the next is tried beside it, and both families take turns."""
    with ScriptedRegistry() as registry, ExitStack() as stack:
        hole = stack.enter_context(socket.socket())
        hole.bind(("127.0.0.1", 0))
        hole.listen(0)
        for _ in range(2):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(hole.getsockname())
        places = [hole.getsockname(), ("127.0.0.1", 9), ("127.0.0.1", registry.port)]
        found = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", place) for place in places]
        monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: found)
        digest = str(registry.shelf.add_blob("team/app", LAYER))
        address = Address(scheme="http", host="two.example:80")
        assert b"".join(asyncio.run(read(address, digest))) == LAYER


def test_where_no_address_answers_the_reason_is_the_systems() -> None:
    address = Address(scheme="http", host="127.0.0.1:9")
    with pytest.raises(ExchangeFailed, match=r"cannot reach http://127\.0\.0\.1:9/.*: Connection refused"):
        asyncio.run(read(address, "sha256:" + 64 * "0"))


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_body_comes_through_a_tunnel(scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through a proxy with TLS of its own, TLS lies in TLS, and all goes by the library."""
    authority = TestAuthority()
    ca = str(authority.write(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", ca)
    contexts = [ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) for _ in range(2)]
    for context, name in zip(contexts, ("127.0.0.1", "far.example"), strict=True):
        (tmp_path / name).mkdir()
        context.load_cert_chain(*authority.issue([name], tmp_path / name))
    with ScriptedRegistry(tls=contexts[1]) as registry:
        digest = str(registry.shelf.add_blob("team/app", LAYER))
        body, rest = asyncio.run(through_tunnel(scheme, contexts[0], registry.port, digest))
    assert body == LAYER
    assert rest is (scheme == "http")


async def through_tunnel(scheme: str, tls: ssl.SSLContext, port: int, digest: str) -> tuple[bytes, bool]:
    """Read a blob by way of a proxy; return it, and whether its rest could be read past the library."""
    relaying: set[asyncio.Task[None]] = set()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
        writer.close()

    async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"CONNECT far.example:443 ")
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        for ends in ((reader, far_writer), (far_reader, writer)):
            relaying.add(asyncio.create_task(relay(*ends)))

    server = await asyncio.start_server(tunnel, "127.0.0.1", 0, ssl=tls if scheme == "https" else None)
    proxy = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    client = RegistryClient(Address(scheme="https", host="far.example"), proxies=Proxies(https=proxy))
    try:
        async with client.open("GET", "blobs", "team/app", digest) as answer:
            chunks = aiter(answer.chunks())
            body, rest = bytearray(await anext(chunks)), answer.rest()
            async for piece in chunks:
                body += piece
    finally:
        await client.aclose()
        server.close()
        await asyncio.gather(*relaying, return_exceptions=True)
    return bytes(body), rest is not None


async def read_past(address: Address, digests: list[str], *, patient: bool = True) -> tuple[list[bytes], set[object]]:
    """Read blobs one after the other, of each but the first piece past the library; return them, and the sockets."""
    client = RegistryClient(address, credentials=NoCredentials(), proxies=Proxies())
    bodies, sockets, room = [], set(), memoryview(bytearray(100_000))
    try:
        for digest in digests:
            async with client.open("GET", "blobs", "team/app", digest) as answer:
                chunks = aiter(answer.chunks())
                body = bytearray(await anext(chunks))
                rest = answer.rest()
                assert rest is not None
                sockets.add(rest.stream.get_extra_info("socket").getsockname())
                while rest.left and ((got := await asyncio.to_thread(rest.read_into, room, 1.0)) or patient):
                    body += room[:got]
                bodies.append(bytes(body))
                assert not patient or await anext(chunks, b"") == b""
    finally:
        await client.aclose()
    return bodies, sockets


async def read(address: Address, digest: str) -> list[bytes]:
    """Read a blob, slowly enough for more to come meanwhile."""
    client = RegistryClient(address, credentials=NoCredentials(), proxies=Proxies())
    pieces = []
    try:
        async with client.open("GET", "blobs", "team/app", digest) as answer:
            async for piece in answer.chunks():
                pieces.append(piece)
                await asyncio.sleep(0.005)
    finally:
        await client.aclose()
    return pieces
