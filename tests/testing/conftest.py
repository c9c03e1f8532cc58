"""The scriptable registry, and a client that knows nothing of Fleet."""

import http.client
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from fleet.testing.registry import ScriptedRegistry


@dataclass(frozen=True, slots=True, kw_only=True)
class Got:
    """One answer as plain http.client has it."""

    status: int
    headers: dict[str, str]
    body: bytes
    broken: str
    """How the body broke off, empty where it came whole: ``cut`` or ``stalled``."""


Fetch = Callable[..., Got]


@pytest.fixture
def registry() -> Iterator[ScriptedRegistry]:
    """Listen on loopback in plain http."""
    with ScriptedRegistry() as registry:
        yield registry


@pytest.fixture
def fetch(registry: ScriptedRegistry) -> Fetch:
    """Ask the registry one thing over a connection of its own."""

    def ask(
        path: str, *, method: str = "GET", body: bytes = b"", timeout: float = 60.0, most: int = 1 << 20, **headers: str
    ) -> Got:
        connection = http.client.HTTPConnection(registry.host, timeout=timeout)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body=body or None, headers=named)
            response = connection.getresponse()
            content, broken = bytearray(), ""
            try:
                while len(content) < most and (piece := response.read1(65536)):
                    content += piece
                if len(content) < most and response.length:
                    broken = "cut"
            except http.client.IncompleteRead as error:
                content += error.partial
                broken = "cut"
            except TimeoutError:
                broken = "stalled"
            return Got(
                status=response.status,
                headers={name.lower(): value for name, value in response.getheaders()},
                body=bytes(content),
                broken=broken,
            )
        finally:
            connection.close()

    return ask
