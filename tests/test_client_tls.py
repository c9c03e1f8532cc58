"""What a person is told whose server is there, and is not to be trusted, or speaks no TLS."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from fleet.client import Client
from fleet.client.address import ServerAddress
from fleet.errors import BadInput, Unreachable
from fleet.testing.certificates import TestAuthority


@contextmanager
def listening(context: ssl.SSLContext | None) -> Iterator[int]:
    """Yield the port of a server of one connection, with TLS or without."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)

        def serve() -> None:
            with suppress(OSError), server.accept()[0] as one:
                if context is None:
                    one.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
                    return
                with context.wrap_socket(one, server_side=True):
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join(30)


def tls(authority: TestAuthority, folder: Path, name: str) -> ssl.SSLContext:
    """Return what a server needs that is called *name*."""
    certificate, key = authority.issue([name], folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


def why(port: int, ca: Path | None) -> str:
    """Return what the client says of a server that it does not take."""
    address = ServerAddress.parse(f"https://127.0.0.1:{port}", token="t", ca_file=ca)
    with Client(address) as client, pytest.raises(Unreachable) as told:
        client.health()
    return str(told.value)


def test_another_authority_is_named_with_the_option_that_names_the_right_one(tmp_path: Path) -> None:
    ours, other = TestAuthority("ours"), TestAuthority("other").write(tmp_path / "other.crt")
    with listening(tls(ours, tmp_path, "127.0.0.1")) as port:
        told = why(port, other)
    assert told.startswith(
        f"cannot trust the server at https://127.0.0.1:{port}: {other} cannot vouch for its certificate"
    )
    assert told.endswith("name the file of the fleet's own authority with --ca-file")
    assert "_ssl.c" not in told
    with listening(tls(ours, tmp_path, "127.0.0.1")) as port:
        assert "the authorities of this machine cannot vouch" in why(port, None)


def test_a_certificate_for_another_name_is_no_matter_of_authorities(tmp_path: Path) -> None:
    ours = TestAuthority("ours")
    with listening(tls(ours, tmp_path, "fleet.lan")) as port:
        told = why(port, ours.write(tmp_path / "ca.crt"))
    assert "its certificate is for another name (" in told
    assert told.endswith("name the server as its certificate does")


def test_a_server_without_tls_is_told_so() -> None:
    with listening(None) as port:
        assert "what answers there speaks no TLS (" in why(port, None)


def test_numbers_of_the_system_are_left_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert why(port, None).endswith(f"{port}: Connection refused; is the address right? see --server")


def test_a_file_that_holds_no_certificate_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("no certificate")
    with pytest.raises(BadInput, match=r"^cannot use the CA file .*token: it holds no PEM certificate$"):
        Client(ServerAddress.parse("https://127.0.0.1:1", token="t", ca_file=tmp_path / "token"))
