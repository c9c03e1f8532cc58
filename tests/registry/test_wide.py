"""Bodies come in large pieces, over TLS too, and are the same bytes."""

import asyncio
import os
import ssl
from pathlib import Path

from fleet.registry.address import Address
from fleet.registry.client import RegistryClient
from fleet.registry.credentials import NoCredentials
from fleet.registry.proxies import Proxies
from fleet.testing.certificates import TestAuthority
from fleet.testing.registry import ScriptedRegistry

LAYER = os.urandom(4 * 1024 * 1024)
RECORD_BYTES = 16 * 1024
"""The most that one record of TLS holds."""


def test_what_has_come_over_tls_is_read_at_once(tmp_path: Path) -> None:
    """A record at a time would be 256 pieces for these 4 MiB."""
    authority = TestAuthority()
    ca = authority.write(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue(["127.0.0.1"], tmp_path))
    with ScriptedRegistry(tls=context) as registry:
        digest = registry.shelf.add_blob("team/app", LAYER)
        address = Address(scheme="https", host=registry.host, ca_file=str(ca))
        pieces = asyncio.run(read(address, str(digest)))
    assert b"".join(pieces) == LAYER
    assert len(pieces) < len(LAYER) / (2 * RECORD_BYTES)


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
