"""The broker's address: what is unsafe is refused before anything is said, and TLS means TLS."""

import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fleet.errors import BadInput, BrokerUnreachable
from fleet.road.app import host_app
from fleet.road.broker import BrokerAddress
from fleet.road.down import Sender
from fleet.road.up import Uplink
from fleet.testing.certificates import TestAuthority
from tests import needs
from tests.ports import free_port

HOST = "0" * 32


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    """Write a CA that vouches for brokers."""
    return TestAuthority().write(tmp_path / "ca.pem")


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("redis://127.0.0.1", ("redis", "127.0.0.1", 6379, 0)),
        ("redis://[::1]:7000/3", ("redis", "::1", 7000, 3)),
        ("redis://localhost:7000", ("redis", "localhost", 7000, 0)),
    ],
)
def test_an_address_on_this_machine_may_be_plain(url: str, parts: tuple[Any, ...]) -> None:
    found = BrokerAddress.parse(url)
    assert (found.scheme, found.host, found.port, found.db) == parts
    assert BrokerAddress.parse(str(found)) == found


def test_a_unix_socket_needs_no_more_than_its_path() -> None:
    found = BrokerAddress.parse("unix:///run/fleet/broker.sock")
    assert (found.path, str(found), found.tls()) == ("/run/fleet/broker.sock", "unix:///run/fleet/broker.sock", None)


def test_a_login_is_read_and_never_shown(authority: Path) -> None:
    found = BrokerAddress.parse("rediss://host-1:s%40cret%2F@b.example/0", authority)
    assert (found.username, found.password) == ("host-1", "s@cret/")
    assert "cret" not in f"{found} {found!r} {found.url}"
    assert "host-1:s%40cret%2F@b.example" in found.kombu_url(transport="fleet")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "no scheme"),
        ("localhost:6379", "cannot use localhost://"),
        ("http://localhost", "cannot use http://"),
        ("memory://", "cannot use memory://"),
        ("redis://", "expected rediss://"),
        ("redis://h:port", "cannot read the broker's URL"),
        ("redis://10.0.0.1:6379/0", "in plaintext"),
        ("redis://localhost.evil.example/0", "in plaintext"),
        ("redis://127.0.0.1/one", "expected a number"),
        ("rediss://b.example/0", "without the CA"),
        ("rediss://b.example/0?ssl_cert_reqs=none", "cannot take options"),
        ("redis://127.0.0.1/0#x", "cannot take options"),
        ("unix://relative/path", "without an absolute path"),
        ("unix://", "without an absolute path"),
    ],
)
def test_what_is_broken_or_unsafe_is_refused_with_a_reason(url: str, reason: str) -> None:
    with pytest.raises(BadInput, match=reason) as caught:
        BrokerAddress.parse(url)
    assert str(caught.value).startswith("cannot")


def test_plaintext_elsewhere_must_be_said() -> None:
    assert BrokerAddress.parse("redis://10.0.0.1", plaintext=True).tls() is None


def test_a_ca_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(BadInput, match=r"^cannot use the broker's CA"):
        BrokerAddress.parse("rediss://b.example", tmp_path / "ca.pem")
    with pytest.raises(BadInput, match=r"^cannot read the broker's CA .*No such file"):
        BrokerAddress.parse("rediss://b.example", tmp_path / "nowhere.pem")


@contextmanager
def tls_server(folder: Path, authority: TestAuthority, name: str = "127.0.0.1") -> Iterator[int]:
    """Run a Redis that speaks TLS on a free port."""
    certificate, key = authority.issue([name], folder)
    port = free_port()
    options = ["--port", "0", "--tls-port", str(port), "--tls-auth-clients", "no", "--save", "", "--bind", "127.0.0.1"]
    files = ["--tls-cert-file", str(certificate), "--tls-key-file", str(key), "--dir", str(folder)]
    process = subprocess.Popen([needs.redis(), *options, *files], stdout=subprocess.DEVNULL)
    try:
        _await_port(port, process)
        yield port
    finally:
        process.terminate()
        process.wait()


def _await_port(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(500):
        assert process.poll() is None, "this redis-server speaks no TLS"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        process.poll()
        threading.Event().wait(0.02)
    raise AssertionError("redis-server does not listen")


@contextmanager
def listening(answer: Callable[[bytes], bytes]) -> Iterator[tuple[int, list[bytes]]]:
    """Run a plain server that notes the first bytes of each connection."""
    said: list[bytes] = []
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                first = connection.recv(4096)
                said.append(first)
                connection.sendall(answer(first))

    threading.Thread(target=serve, daemon=True).start()
    yield server.getsockname()[1], said
    server.shutdown(socket.SHUT_RDWR)
    server.close()


def say_with_celery(broker: BrokerAddress) -> None:
    """Let kombu connect as a host's worker does."""
    app = host_app(broker, HOST)
    connection = app.connection_for_read()
    try:
        channel: Any = connection.channel()
        channel.client.ping()
    finally:
        connection.release()
        app.close()


def say_with_redis(broker: BrokerAddress) -> None:
    """Connect as a host's way up does."""
    uplink = Uplink(broker, HOST)
    try:
        uplink.ping()
    finally:
        uplink.close()


SPEAKERS = pytest.mark.parametrize("say", [say_with_celery, say_with_redis])


@pytest.mark.redis
@SPEAKERS
def test_a_broker_that_the_ca_vouches_for_is_spoken_to(tmp_path: Path, say: Callable[[BrokerAddress], None]) -> None:
    authority = TestAuthority()
    ca = authority.write(tmp_path / "ca.pem")
    with tls_server(tmp_path, authority) as port:
        say(BrokerAddress.parse(f"rediss://127.0.0.1:{port}/0", ca))


@pytest.mark.redis
@SPEAKERS
def test_a_broker_of_another_ca_hears_no_password(tmp_path: Path, say: Callable[[BrokerAddress], None]) -> None:
    ca = TestAuthority("ours").write(tmp_path / "ca.pem")
    with tls_server(tmp_path, TestAuthority("theirs")) as port, pytest.raises(Exception, match="CERTIFICATE_VERIFY"):
        say(BrokerAddress.parse(f"rediss://u:secret@127.0.0.1:{port}/0", ca))


@pytest.mark.redis
@SPEAKERS
def test_a_broker_of_another_name_hears_no_password(tmp_path: Path, say: Callable[[BrokerAddress], None]) -> None:
    authority = TestAuthority()
    ca = authority.write(tmp_path / "ca.pem")
    with tls_server(tmp_path, authority, "other.example") as port, pytest.raises(Exception, match="CERTIFICATE_VERIFY"):
        say(BrokerAddress.parse(f"rediss://u:secret@127.0.0.1:{port}/0", ca))


@SPEAKERS
def test_a_plain_server_behind_rediss_hears_a_tls_greeting_and_no_password(
    authority: Path, say: Callable[[BrokerAddress], None]
) -> None:
    with (
        listening(lambda _: b"-ERR plain\r\n") as (port, said),
        pytest.raises(Exception, match=r"(?i)ssl|wrong version"),
    ):
        say(BrokerAddress.parse(f"rediss://u:secret@127.0.0.1:{port}/0", authority))
    assert said
    assert all(first.startswith(b"\x16\x03") for first in said), said
    assert not [first for first in said if b"secret" in first]


def test_a_broker_that_is_away_is_said_to_be_away(short: Path) -> None:
    with pytest.raises(BrokerUnreachable, match=r"^cannot use the broker at unix:") as caught:
        say_with_redis(BrokerAddress(scheme="unix", path=str(short / "none.sock"), username="u", password="secret"))
    assert "secret" not in str(caught.value)


@pytest.mark.full
def test_a_sender_gives_up_on_a_broker_that_is_away(short: Path) -> None:
    sender = Sender(BrokerAddress(scheme="unix", path=str(short / "none.sock")))
    with pytest.raises(BrokerUnreachable, match=r"^cannot use the broker at unix:"):
        sender.send(HOST, "x")
    sender.close()
