"""Webhooks, against real servers that take, refuse, redirect, hang and drip."""

import http.client
import socket
import ssl
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from fleet.errors import BadInput
from fleet.notify import webhook
from fleet.notify.examples import examples
from fleet.notify.sent import Came, Sent
from fleet.registry.proxies import Proxies
from fleet.testing.certificates import TestAuthority
from tests.notify.listeners import listening, raw

SECRET = webhook.make_secret()
EVENT = next(each.document("urn:fleet:test") for each in examples() if each.type.value == "update.failed")


def send(url: str, *, timeout_s: float = 20, proxies: Proxies | None = None, secret: str = SECRET) -> Came:
    """Send the event."""
    return webhook.send(url, secret, EVENT, timestamp=1_800_000_000, proxies=proxies or Proxies(), timeout_s=timeout_s)


def test_an_event_comes_as_a_signed_cloudevent() -> None:
    with listening() as there:
        assert send(f"{there.url}/hook?a=b").sent is Sent.TAKEN
    (got,) = there.got
    assert (got.path, got.event) == ("/hook?a=b", EVENT)
    assert got.headers["Content-Type"].startswith("application/cloudevents+json")
    assert got.headers["webhook-id"] == EVENT["id"]
    assert got.proved(SECRET)
    assert not got.proved(webhook.make_secret())


def test_it_is_signed_as_the_example_of_standard_webhooks() -> None:
    """The vector of their own libraries, so that those prove what is sent here."""
    body = b'{"event_type":"ping","data":{"success":true}}'
    headers = webhook.signed("whsec_plJ3nmyCDGBKInavdOK15jsl", "msg_loFOjxBNrRLzqYUf", 1731705121, body)
    assert headers["webhook-signature"] == "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0="


@pytest.mark.parametrize(
    ("status", "headers", "sent", "again"),
    [
        (200, {}, Sent.TAKEN, None),
        (500, {}, Sent.LATER, None),
        (404, {}, Sent.LATER, None),
        (503, {"Retry_After": "120"}, Sent.LATER, timedelta(seconds=120)),
        (429, {"Retry_After": "Wed, 21 Oct 2099 07:28:00 GMT"}, Sent.LATER, timedelta(days=1)),
        (
            429,
            {"Retry_After": "Wed, 21 Oct 2099 07:28:00 GMT", "Date": "Wed, 21 Oct 2099 07:26:30 GMT"},
            Sent.LATER,
            timedelta(seconds=90),
        ),
        (503, {"Retry_After": "soon"}, Sent.LATER, None),
        (400, {}, Sent.REFUSED, None),
        (413, {}, Sent.REFUSED, None),
        (410, {}, Sent.GONE, None),
    ],
)
def test_what_an_answer_means(status: int, headers: dict[str, str], sent: Sent, again: timedelta | None) -> None:
    with listening() as there:
        there.answers(status, **headers)
        came = send(there.url)
    assert (came.sent, came.again) == (sent, again)
    assert sent is Sent.TAKEN or str(status) in came.reason


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_no_redirect_is_followed_and_nothing_of_it_is_told(status: int) -> None:
    with listening() as there, listening() as elsewhere:
        there.answers(status, Location=f"{elsewhere.url}/secret-path")
        came = send(there.url)
        assert (came.sent, elsewhere.got) == (Sent.LATER, [])
    assert "redirect" in came.reason
    assert "secret-path" not in came.reason


def _hang(_connection: socket.socket) -> None:
    threading.Event().wait(30)


def _drip(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        connection.sendall(b"X: y\r\n")
        threading.Event().wait(0.05)


def _nonsense(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"\x00\xffSMTP?\r\n\r\n")


@pytest.mark.parametrize(
    ("speak", "says"), [(_hang, "did not answer"), (_drip, "did not answer"), (_nonsense, "could not be read")]
)
def test_who_does_not_answer_is_left(speak: object, says: str) -> None:
    """Also one that sends a byte now and then, for which no wait of one read ever ends."""
    with raw(speak) as url:  # type: ignore[arg-type]
        came = send(url, timeout_s=0.5 if says == "did not answer" else 20)
    assert came.sent is Sent.LATER
    assert says in came.reason


def test_a_server_that_is_not_there_is_told_without_its_url() -> None:
    with listening() as gone:
        pass
    came = send(f"{gone.url}/T0KEN")
    assert (came.sent, came.reason) == (Sent.LATER, "Connection refused")
    nowhere = send("https://nowhere.invalid/T0KEN")
    assert (nowhere.sent, "T0KEN" in nowhere.reason) == (Sent.LATER, False)


def test_a_certificate_must_be_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = TestAuthority()
    cert, key = authority.issue(["127.0.0.1"], tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    with listening(context) as there:
        came = send(there.url)
        assert (came.sent, there.got) == (Sent.LATER, [])
        assert came.reason.startswith("its certificate is not trusted")
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.write(tmp_path / "ca.pem")))
        assert send(there.url).sent is Sent.TAKEN
    assert there.got[0].proved(SECRET)


def test_a_proxy_is_used_and_shown_its_own_login_alone() -> None:
    with listening() as proxy:
        at = proxy.url.removeprefix("http://")
        came = send("http://hooks.lan/x", proxies=Proxies(http=f"http://anna:pa%20ss@{at}"))
    (got,) = proxy.got
    assert (came.sent, got.path) == (Sent.TAKEN, "http://hooks.lan/x")
    assert got.headers["Proxy-Authorization"] == "Basic YW5uYTpwYSBzcw=="
    assert send("https://hooks.lan/x", proxies=Proxies(https="https://p.lan")).reason.startswith("cannot use a proxy")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://hooks.slack.example/services/T00/B00/XXX", "https://hooks.slack.example"),
        ("http://10.0.0.7:8080/?token=x", "http://10.0.0.7:8080"),
        ("https://[::1]:8443/a", "https://[::1]:8443"),
    ],
)
def test_of_a_url_its_server_alone_is_shown(url: str, shown: str) -> None:
    assert webhook.check_url(url) == shown


@pytest.mark.parametrize(
    "url",
    ["https://", "ftp://x/y", "https://x:99999/y", "https://anna:secret@x/", "https://x/ y", "https://x/\nHost: y"],
)
def test_what_is_no_url_is_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(BadInput, match="cannot use") as refused:
        webhook.check_url(url)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "short",
        "whsec_",
        "whsec_!!!",
        "whsec_YWJj",
        f"whsec_{'QUFB' * 40}",
        pytest.param(SECRET.removeprefix("whsec_"), id="without what it begins with"),
    ],
)
def test_a_secret_is_long_enough_to_prove_something(secret: str) -> None:
    with pytest.raises(BadInput, match="24 to 64 random bytes") as refused:
        webhook.check_secret(secret)
    assert len(secret) < len("whsec_.") or secret not in str(refused.value)


@pytest.mark.parametrize(
    "peer", ["169.254.169.254", "::ffff:169.254.169.254", "fe80::1%2", "fd00:ec2::254", "100.100.100.200"]
)
def test_nothing_is_sent_to_where_clouds_tell_their_machines_secrets(
    peer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a name leads is known once it is connected; nothing was sent then."""
    sent: list[str] = []
    monkeypatch.setattr(http.client.HTTPConnection, "connect", lambda self: setattr(self, "sock", Peer(peer)))
    monkeypatch.setattr(http.client.HTTPConnection, "request", lambda *_, **__: sent.append(peer))
    assert "where clouds tell their machines secrets" in send("http://hooks.example/").reason
    assert not sent


class Peer:
    """A connected socket, as far as it is asked where it leads."""

    def __init__(self, address: str) -> None:
        self.address = address

    def getpeername(self) -> tuple[str, int]:
        """Return where it leads."""
        return (self.address, 80)

    def close(self) -> None:
        """Close nothing."""
