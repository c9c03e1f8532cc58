"""How these tests ask: one client, one question, closed again."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from fleet.clock import Clock
from fleet.images.reference import Reference
from fleet.registry.address import Address
from fleet.registry.client import RegistryClient, Resolved
from fleet.registry.connections import Patience
from fleet.registry.credentials import Credentials, CredentialSource
from fleet.registry.manifest import Manifest
from fleet.registry.proxies import Proxies
from fleet.testing.registry import ScriptedRegistry

T = TypeVar("T")
HANG_S = 3.0
QUICK = Patience(connect_s=20.0, first_byte_s=HANG_S, silence_s=HANG_S)
"""For answers that never come: long enough for a busy machine, short enough for a test."""
START = datetime(2026, 11, 2, 12, tzinfo=UTC)
"""When it is, where a header names a date."""


@dataclass(slots=True)
class Known:
    """Credentials by host, and which hosts were asked for."""

    by_host: dict[str, Credentials]

    async def for_host(self, host: str) -> Credentials | None:
        """Return what the test put there."""
        return self.by_host.get(host)


def address_of(registry: ScriptedRegistry, **fields: object) -> Address:
    """Return where *registry* listens, by its own scheme."""
    scheme, _, host = registry.url.partition("://")
    return Address(**{"scheme": scheme, "host": host, **fields})  # type: ignore[arg-type]


def with_client(
    address: Address,
    question: Callable[[RegistryClient], Awaitable[T]],
    *,
    credentials: CredentialSource | None = None,
    clock: Clock | None = None,
    patience: Patience | None = None,
    proxies: Proxies | None = None,
    certs: Sequence[Path] = (),
    trusted_realms: Collection[str] = (),
) -> T:
    """Put *question* to a client of *address*, and close it."""

    async def ask() -> T:
        client = RegistryClient(
            address,
            credentials=credentials,
            clock=clock,
            patience=patience,
            proxies=proxies or Proxies(),
            certs=certs,
            trusted_realms=trusted_realms,
        )
        try:
            return await question(client)
        finally:
            await client.aclose()

    return asyncio.run(ask())


def resolving(text: str) -> Callable[[RegistryClient], Awaitable[Resolved]]:
    """Ask for the digest of *text*; its registry is not looked at."""
    return lambda client: client.resolve(Reference.parse(text))


def fetching(repository: str, tail: str) -> Callable[[RegistryClient], Awaitable[Manifest]]:
    """Ask for one manifest."""
    return lambda client: client.manifest(repository, tail)


def blob(repository: str, digest: object) -> Callable[[RegistryClient], Awaitable[bytes]]:
    """Ask for one blob, whatever the status."""

    async def ask(client: RegistryClient) -> bytes:
        async with client.open("GET", "blobs", repository, str(digest)) as answer:
            return await answer.read(1 << 26)

    return ask
