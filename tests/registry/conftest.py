"""A scriptable registry for each test, and one authority for all of them."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet.testing.certificates import TestAuthority
from fleet.testing.registry import ScriptedRegistry


@pytest.fixture
def registry() -> Iterator[ScriptedRegistry]:
    """Listen on loopback in plain http."""
    with ScriptedRegistry() as registry:
        yield registry


@pytest.fixture
def other() -> Iterator[ScriptedRegistry]:
    """Listen on another port: another server."""
    with ScriptedRegistry() as registry:
        yield registry


@pytest.fixture(scope="session")
def authority() -> TestAuthority:
    """Sign the certificates of these tests."""
    return TestAuthority()


@pytest.fixture
def ca_file(authority: TestAuthority, tmp_path: Path) -> Path:
    """Name the authority's own certificate."""
    return authority.write(tmp_path / "ca.pem")


@pytest.fixture
def server_tls(authority: TestAuthority, tmp_path: Path) -> ssl.SSLContext:
    """Be the server 127.0.0.1 and localhost."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue(["127.0.0.1", "localhost"], tmp_path))
    return context


@pytest.fixture
def tls_registry(server_tls: ssl.SSLContext) -> Iterator[ScriptedRegistry]:
    """Listen on loopback over TLS."""
    with ScriptedRegistry(tls=server_tls) as registry:
        yield registry
