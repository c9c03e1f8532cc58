"""Redirects are followed as far as they are honest, and proofs stay with the server that asked for them."""

import ssl
from collections.abc import Iterator

import pytest

from fleet.errors import RegistryError
from fleet.registry.client import RegistryClient
from fleet.registry.credentials import Credentials
from fleet.registry.exchange import MOST_REDIRECTS
from fleet.testing.faults import Fault
from fleet.testing.gatekeeper import Access
from fleet.testing.registry import ScriptedRegistry
from tests.registry.asking import Known, address_of, blob, resolving, with_client

APP = "org/app"
USER = Credentials(username="ann", password="secret-word")


@pytest.fixture
def guarded() -> Iterator[ScriptedRegistry]:
    """Ask for ann's password."""
    with ScriptedRegistry(access=Access(scheme="basic", username="ann", password="secret-word")) as registry:
        yield registry


def test_a_blob_is_fetched_where_the_registry_sends(registry: ScriptedRegistry, other: ScriptedRegistry) -> None:
    """Registries keep blobs in another store; the answer says who gave the bytes."""
    layer = other.shelf.add_blob(APP, b"elsewhere")
    registry.faults.add(Fault.REDIRECT, kind="blobs", location=other.url)

    async def ask(client: RegistryClient) -> tuple[bytes, str]:
        async with client.open("GET", "blobs", APP, str(layer)) as answer:
            return await answer.read(100), answer.url

    content, url = with_client(address_of(registry), ask)
    assert content == b"elsewhere"
    assert url == f"{other.url}/v2/{APP}/blobs/{layer}"


def test_the_host_that_answered_instead_is_named(registry: ScriptedRegistry) -> None:
    """History tells a mirror's bytes from those of a store behind it, be it another port of the same machine."""
    with ScriptedRegistry() as store:
        layer = store.shelf.add_blob(APP, b"elsewhere")
        registry.faults.add(Fault.REDIRECT, kind="blobs", location=store.url)

        async def ask(client: RegistryClient) -> str:
            async with client.open("GET", "blobs", APP, str(layer)) as answer:
                return answer.redirected_to

        assert with_client(address_of(registry), ask) == store.host
        registry.faults.clear()
        layer = registry.shelf.add_blob(APP, b"here")
        assert with_client(address_of(registry), ask) == ""


def test_the_password_stays_behind(guarded: ScriptedRegistry, other: ScriptedRegistry) -> None:
    """Another port is another server: it gets the Range and no Authorization."""
    layer = other.shelf.add_blob(APP, b"0123456789")
    guarded.faults.add(Fault.REDIRECT, kind="blobs", location=other.url, after=1)
    # The first request is refused for want of a password, the second is sent on.

    async def ask(client: RegistryClient) -> bytes:
        async with client.open("GET", "blobs", APP, str(layer), headers={"Range": "bytes=5-"}) as answer:
            return await answer.read(100)

    credentials = Known({guarded.host: USER})
    assert with_client(address_of(guarded), ask, credentials=credentials) == b"56789"
    assert "authorization" in guarded.log[-1].headers
    (entry,) = other.log
    assert "authorization" not in entry.headers
    assert entry.headers["range"] == "bytes=5-"


def test_a_challenge_of_another_server_is_not_answered(guarded: ScriptedRegistry, registry: ScriptedRegistry) -> None:
    """A store that asks for a password gets none, whatever the registry's own is."""
    registry.faults.add(Fault.REDIRECT, kind="blobs", location=guarded.url)
    digest = guarded.shelf.add_blob(APP, b"x")
    credentials = Known({registry.host: USER, guarded.host: USER})

    async def status(client: RegistryClient) -> int:
        async with client.open("GET", "blobs", APP, str(digest)) as answer:
            return answer.status

    assert with_client(address_of(registry), status, credentials=credentials) == 401
    assert all("authorization" not in entry.headers for entry in guarded.log)


def test_a_loop_ends(registry: ScriptedRegistry) -> None:
    """A redirect to itself is followed a few times and given up."""
    registry.shelf.add_image(APP, "1")
    registry.faults.add(Fault.REDIRECT_LOOP)
    with pytest.raises(RegistryError, match=f"more than {MOST_REDIRECTS} redirects"):
        with_client(address_of(registry), resolving("org/app:1"))
    assert len(registry.log) == MOST_REDIRECTS + 1


def test_from_https_to_http_is_refused(tls_registry: ScriptedRegistry, ca_file: str) -> None:
    """Protection is never given up on a server's word."""
    tls_registry.shelf.add_image(APP, "1")
    tls_registry.faults.add(Fault.REDIRECT_TO_HTTP)
    with pytest.raises(RegistryError, match="it leads where it may not lead"):
        with_client(address_of(tls_registry, ca_file=str(ca_file)), resolving("org/app:1"))
    assert len(tls_registry.log) == 1


@pytest.mark.parametrize("location", ["ftp://127.0.0.1", "file://", "http://[::1"])
def test_to_what_is_no_web_server_is_refused(registry: ScriptedRegistry, location: str) -> None:
    """Other schemes and nonsense are not followed."""
    registry.faults.add(Fault.REDIRECT, location=location)
    with pytest.raises(RegistryError, match="it leads where it may not lead"):
        with_client(address_of(registry), resolving("org/app:1"))


def test_a_signed_address_is_not_written_down(registry: ScriptedRegistry, other: ScriptedRegistry) -> None:
    """The query of a signed URL opens the store for whoever reads it in a log."""
    layer = other.shelf.add_blob(APP, b"x")
    signed = f"{other.url}/v2/{APP}/blobs/{layer}?X-Amz-Signature=secret&rest="
    registry.faults.add(Fault.REDIRECT, kind="blobs", location=signed)

    async def ask(client: RegistryClient) -> str:
        async with client.open("GET", "blobs", APP, str(layer)) as answer:
            return f"{answer.url} {answer!r}"

    assert "secret" not in with_client(address_of(registry), ask)


def test_an_insecure_registry_does_not_make_its_store_insecure(
    tls_registry: ScriptedRegistry, server_tls: ssl.SSLContext
) -> None:
    """Only the address itself is let off checks, never where it sends to."""
    with ScriptedRegistry(tls=server_tls) as store:
        layer = store.shelf.add_blob(APP, b"x")
        tls_registry.faults.add(Fault.REDIRECT, kind="blobs", location=store.url)
        with pytest.raises(Exception, match=r"^cannot reach .*certificate"):
            with_client(address_of(tls_registry, insecure=True), blob(APP, layer))
        assert store.log == []
