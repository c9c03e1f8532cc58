"""Whom a connection trusts is what Docker trusts, and never more."""

import asyncio
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest

from fleet.errors import BadInput
from fleet.registry.address import Address, origin_address
from fleet.registry.client import RegistryClient
from fleet.registry.connections import Connections, Patience
from fleet.registry.faults import ExchangeFailed, Failure
from fleet.registry.tls import client_context
from fleet.testing.certificates import TestAuthority
from fleet.testing.registry import ScriptedRegistry
from tests.registry.asking import address_of, with_client


def ping(address: Address, certs: tuple[Path, ...] = ()) -> int:
    """Return the status of /v2/ there."""
    return with_client(address, lambda client: client.ping(), certs=certs)


def certs_d(tmp_path: Path, registry: ScriptedRegistry) -> Path:
    """Make a certs.d folder with a place for *registry*, and return the place."""
    place = tmp_path / "certs.d" / registry.host
    place.mkdir(parents=True)
    return place


def test_an_unknown_authority_is_refused(tls_registry: ScriptedRegistry) -> None:
    """A certificate that nobody known signed ends the connection before a request."""
    with pytest.raises(ExchangeFailed, match="certificate") as caught:
        ping(address_of(tls_registry))
    assert caught.value.failure is Failure.NO_CONNECTION
    assert tls_registry.log == []


def test_an_authority_in_a_file_is_trusted(tls_registry: ScriptedRegistry, ca_file: Path) -> None:
    """A mirror's own ``ca`` opens it."""
    assert ping(address_of(tls_registry, ca_file=str(ca_file))) == 200


def test_an_authority_in_certs_d_is_trusted(
    tls_registry: ScriptedRegistry, authority: TestAuthority, tmp_path: Path
) -> None:
    """Docker's folder, by host and port, as Docker reads it."""
    authority.write(certs_d(tmp_path, tls_registry) / "lab.crt")
    assert ping(address_of(tls_registry), (tmp_path / "certs.d",)) == 200


def test_certs_d_is_by_host_and_port(tls_registry: ScriptedRegistry, authority: TestAuthority, tmp_path: Path) -> None:
    """An authority for another port of the same host vouches for nothing here."""
    place = tmp_path / "certs.d" / "127.0.0.1:1"
    place.mkdir(parents=True)
    authority.write(place / "lab.crt")
    with pytest.raises(ExchangeFailed, match="certificate"):
        ping(address_of(tls_registry), (tmp_path / "certs.d",))


def test_another_authority_of_the_same_name_is_refused(tls_registry: ScriptedRegistry, tmp_path: Path) -> None:
    """A name is not a signature."""
    impostor = TestAuthority().write(tmp_path / "impostor.pem")
    with pytest.raises(ExchangeFailed, match="certificate"):
        ping(address_of(tls_registry, ca_file=str(impostor)))


def test_a_certificate_for_another_host_is_refused(authority: TestAuthority, ca_file: Path, tmp_path: Path) -> None:
    """A known authority's word about somebody else is no word about this server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue(["elsewhere.lan"], tmp_path, "elsewhere"))
    with ScriptedRegistry(tls=context) as registry, pytest.raises(ExchangeFailed, match="certificate"):
        ping(address_of(registry, ca_file=str(ca_file)))


def test_insecure_takes_any_certificate(tls_registry: ScriptedRegistry) -> None:
    """What daemon.json lists as insecure is asked without a check."""
    assert ping(address_of(tls_registry, insecure=True)) == 200


@pytest.fixture
def demanding(authority: TestAuthority, ca_file: Path, tmp_path: Path) -> Iterator[ScriptedRegistry]:
    """Want a client certificate of the authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue(["127.0.0.1"], tmp_path, "demanding"))
    context.load_verify_locations(ca_file)
    context.verify_mode = ssl.CERT_REQUIRED
    with ScriptedRegistry(tls=context) as registry:
        yield registry


def test_a_client_certificate_in_certs_d_is_shown(
    demanding: ScriptedRegistry, authority: TestAuthority, tmp_path: Path
) -> None:
    """``NAME.cert`` and ``NAME.key`` beside the authority, as Docker wants them."""
    place = certs_d(tmp_path, demanding)
    authority.write(place / "ca.crt")
    authority.issue(["fleet"], place, "client")
    assert ping(address_of(demanding), (tmp_path / "certs.d",)) == 200


@pytest.mark.parametrize("joined", [False, True])
def test_a_client_certificate_of_the_address_is_shown_to_it(
    demanding: ScriptedRegistry, authority: TestAuthority, ca_file: Path, tmp_path: Path, joined: bool
) -> None:
    """As hosts.toml names it: two files, or one that holds both."""
    cert, key = authority.issue(["fleet"], tmp_path, "client")
    if joined:
        cert.write_bytes(cert.read_bytes() + key.read_bytes())
    address = address_of(demanding, ca_file=str(ca_file), client_cert=str(cert), client_key="" if joined else str(key))
    assert ping(address) == 200
    assert ping(address_of(demanding, insecure=True, client_cert=str(cert), client_key=address.client_key)) == 200


def test_containerds_spelling_of_a_port_names_a_folder_of_certs_d_too(
    tls_registry: ScriptedRegistry, authority: TestAuthority, tmp_path: Path
) -> None:
    """``HOST_PORT_``, as well as Docker's ``HOST:PORT``."""
    place = tmp_path / f"{tls_registry.host.replace(':', '_')}_"
    place.mkdir()
    authority.write(place / "ca.crt")
    assert ping(address_of(tls_registry), (tmp_path,)) == 200


def test_what_is_put_into_certs_d_counts_at_once(
    tls_registry: ScriptedRegistry, authority: TestAuthority, tmp_path: Path
) -> None:
    """Docker reads the folder at each pull, and an agent is not started anew for a certificate that was renewed."""
    place = certs_d(tmp_path, tls_registry)

    async def ask(client: RegistryClient) -> int:
        with pytest.raises(ExchangeFailed, match="certificate"):
            await client.ping()
        authority.write(place / "lab.crt")
        assert await client.ping() == 200
        TestAuthority().write(place / "new.crt").replace(place / "lab.crt")
        with pytest.raises(ExchangeFailed, match="certificate"):
            await client.ping()
        (place / "lab.crt").unlink()
        return len(client._connections._outdated)

    assert with_client(address_of(tls_registry), ask, certs=(tmp_path / "certs.d",)) == 0


def test_an_answer_is_read_to_its_end_on_the_terms_on_which_it_began(
    tls_registry: ScriptedRegistry, authority: TestAuthority, tmp_path: Path
) -> None:
    place, layer = certs_d(tmp_path, tls_registry), bytes(20_000_000)
    digest = tls_registry.shelf.add_blob("org/app", layer)
    authority.write(place / "lab.crt")

    async def ask(client: RegistryClient) -> int:
        async with client.open("GET", "blobs", "org/app", str(digest)) as answer:
            authority.write(place / "another.crt")
            assert await client.ping() == 200
            assert len(client._connections._outdated) == 1
            assert await answer.read(1 << 26) == layer
        authority.write(place / "third.crt")
        assert await client.ping() == 200
        return len(client._connections._outdated)

    assert with_client(address_of(tls_registry), ask, certs=(tmp_path / "certs.d",)) == 0


def test_without_its_client_certificate_a_registry_is_closed(demanding: ScriptedRegistry, ca_file: Path) -> None:
    """The failure is one of the connection, and nothing was asked."""
    with pytest.raises(ExchangeFailed):
        ping(address_of(demanding, ca_file=str(ca_file)))
    assert demanding.log == []


def test_a_client_certificate_without_its_key_says_so(tmp_path: Path, authority: TestAuthority) -> None:
    """A half pair in certs.d is an error that names both files."""
    place = tmp_path / "reg.lan"
    place.mkdir()
    _, key = authority.issue(["fleet"], place, "client")
    key.unlink()
    with pytest.raises(BadInput, match=r"cannot use the client certificate .*client\.cert with the key .*client\.key"):
        client_context("reg.lan", certs=(tmp_path,))


def test_a_file_that_is_no_authority_says_so(tmp_path: Path) -> None:
    """A typo in ``ca`` names the file."""
    for file in (tmp_path / "missing.pem", tmp_path / "empty.pem"):
        if file.stem == "empty":
            file.write_text("nothing")
        with pytest.raises(BadInput, match=f"cannot read certificate authorities from .*{file.name}"):
            client_context("reg.lan", ca_file=str(file), certs=())


def test_plain_http_is_tried_only_where_it_is_allowed(registry: ScriptedRegistry) -> None:
    """A registry on loopback is asked over TLS and then plainly; the same registry elsewhere never plainly."""
    address = origin_address(registry.host)

    async def settled(client: RegistryClient) -> str:
        assert await client.ping() == 200
        return client.address.scheme

    assert with_client(address, settled) == "http"
    strict = Address(scheme="https", host=registry.host)
    with pytest.raises(ExchangeFailed) as caught:
        ping(strict)
    assert caught.value.failure is Failure.NO_CONNECTION
    assert len(registry.log) == 1


def test_requests_at_once_all_find_out_that_plain_http_is_spoken(
    registry: ScriptedRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One may have its answer by plain http while TLS still has to fail for another: that one goes on, too."""
    real, asked, clients = Connections.send, 0, list[RegistryClient]()

    async def send(
        self: Connections, method: str, url: str, headers: Mapping[str, str], form: Mapping[str, str] | None = None
    ) -> httpx2.Response:
        nonlocal asked
        asked += url.startswith("https://")
        late = url.startswith("https://") and asked > 1
        while late and clients[0].address.scheme != "http":  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0.01)
        return await real(self, method, url, headers, form)

    monkeypatch.setattr(Connections, "send", send)

    async def both(client: RegistryClient) -> list[int]:
        clients.append(client)
        return list(await asyncio.gather(client.ping(), client.ping()))

    assert with_client(origin_address(registry.host), both) == [200, 200]


def test_a_registry_that_once_spoke_tls_is_never_asked_plainly(
    server_tls: ssl.SSLContext, authority: TestAuthority
) -> None:
    """Who can end a TLS connection cannot make Fleet go on without it."""
    with ScriptedRegistry(tls=server_tls) as registry:
        address = origin_address(registry.host)

        async def down_after_one(client: RegistryClient) -> str:
            await client.ping()
            with registry.down():
                registry.drop()
                with pytest.raises(ExchangeFailed):
                    await client.ping()
            return client.address.scheme

        assert with_client(address, down_after_one) == "https"


@pytest.mark.parametrize("told", [b"HTTP/1.0 400 Bad Request\r\n\r\n", b""], ids=["told", "not told"])
def test_a_registry_that_has_learnt_to_speak_tls_is_asked_so(server_tls: ssl.SSLContext, told: bytes) -> None:
    """Servers tell who speaks plainly where TLS is spoken, or close the connection."""
    learnt = threading.Event()

    class Answering(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            greets = self.request.recv(1, socket.MSG_PEEK) == b"\x16"
            if greets != learnt.is_set():
                self.request.recv(65536)
                self.request.sendall(told)
                return
            line = server_tls.wrap_socket(self.request, server_side=True) if greets else self.request
            line.recv(65536)
            line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
            line.close()

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads, allow_reuse_address = True, True

    async def ask(client: RegistryClient) -> list[str]:
        assert await client.ping() == 200
        schemes = [client.address.scheme]
        learnt.set()
        if not told:
            with pytest.raises(ExchangeFailed):
                await client.ping()
        assert await client.ping() == 200
        return [*schemes, client.address.scheme]

    with Server(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            address = origin_address(f"127.0.0.1:{server.server_address[1]}")
            assert with_client(address, ask) == ["http", "https"]
        finally:
            server.shutdown()
            thread.join()


def test_a_silent_port_is_given_up_in_time() -> None:
    """A server that takes the connection and never speaks TLS costs the connect time, not the pull."""
    with ExitStack() as stack:
        silent = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        host = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ExchangeFailed):
            with_client(
                Address(scheme="https", host=host), lambda client: client.ping(), patience=Patience(connect_s=0.3)
            )


def test_the_systems_authorities_are_those_of_openssl(
    tls_registry: ScriptedRegistry, ca_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SSL_CERT_FILE replaces them, as for every program of the system."""
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
    assert ping(address_of(tls_registry)) == 200
