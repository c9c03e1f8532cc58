"""Events sent by HTTP POST, signed as Standard Webhooks say (https://www.standardwebhooks.com): who has the secret can prove them.

One request an event. No redirect is followed, so that neither event nor signature goes where nobody said; of the answer
nothing is read but its status and ``Retry-After``. A request that is not answered in time is cut off, however it drips.
"""

import base64
import hashlib
import hmac
import http.client
import json
import secrets
import socket
import ssl
import threading
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from fleet.errors import BadInput
from fleet.notify.sent import TAKEN, Came, Sent, later
from fleet.registry.limits import retry_after_s
from fleet.registry.proxies import Proxies
from fleet.registry.realm import address_of, is_for_machine_alone

MEDIA_TYPE = "application/cloudevents+json; charset=utf-8"
SECRET_PREFIX = "whsec_"  # noqa: S105
"""What a secret begins with, as Standard Webhooks have it; the rest is base64."""
SECRET_BYTES = 32
_LEAST_SECRET_BYTES, _MOST_SECRET_BYTES = 24, 64
"""As long as Standard Webhooks let a secret be."""
LONGEST_URL = 4000
TIMEOUT_S = 15.0
"""Seconds from the connection to the answer."""
CONNECT_S = 5.0
_HEADERS = {"Content-Type": MEDIA_TYPE, "User-Agent": "fleet", "Accept": "*/*", "Connection": "close"}
_REFUSALS = (400, 405, 406, 413, 415, 422)
"""Statuses that say of one event that it is not wanted; all others say something of the channel."""


def make_secret() -> str:
    """Return a new secret."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def check_secret(secret: str) -> None:
    """Raise BadInput for what is no secret; it is not quoted."""
    try:
        length = len(_key(secret))
    except ValueError:
        length = 0
    if not secret.startswith(SECRET_PREFIX) or not _LEAST_SECRET_BYTES <= length <= _MOST_SECRET_BYTES:
        raise BadInput(f"cannot use this secret: it must be {SECRET_PREFIX} and 24 to 64 random bytes in base64")


def _key(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)


def check_url(url: str) -> str:
    """Return what may be shown of a webhook's URL: scheme, host and port; raise BadInput for what is no URL of http or https.

    The rest may be a secret, and stands in no message.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise BadInput("cannot use this URL: its host or port is none") from None
    odd = len(url) > LONGEST_URL or any(sign.isspace() or not sign.isprintable() for sign in url)
    if odd or parts.scheme not in ("http", "https") or not host:
        raise BadInput("cannot use this URL; expected https://host/path")
    if parts.username is not None:
        raise BadInput(
            "cannot use a URL with a user in it: the signature says who sends; leave out what is before the @"
        )
    named = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{named}{f':{port}' if port else ''}"


def signed(secret: str, id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the headers that prove *body*: HMAC-SHA256 over id, time and body."""
    content = b".".join((id.encode(), str(timestamp).encode(), body))
    signature = base64.b64encode(hmac.digest(_key(secret), content, hashlib.sha256)).decode()
    return {"webhook-id": id, "webhook-timestamp": str(timestamp), "webhook-signature": f"v1,{signature}"}


def send(
    url: str, secret: str, event: Mapping[str, Any], *, timestamp: int, proxies: Proxies, timeout_s: float = TIMEOUT_S
) -> Came:
    """Send one CloudEvent, and return what came of it; *timestamp* is when, in seconds since 1970."""
    content = json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
    headers = {**_HEADERS, **signed(secret, str(event["id"]), timestamp, content)}
    try:
        connection, target, more = _connection(url, proxies)
    except BadInput as error:
        return later(str(error))
    over = threading.Event()
    cut = threading.Timer(timeout_s, _cut, (connection, over))
    cut.daemon = True
    cut.start()
    try:
        connection.connect()
        _check_peer(connection)
        connection.request("POST", target, body=content, headers={**headers, **more})
        answer = connection.getresponse()
        # Of an answer that was cut off in its head, the library makes a whole one.
        if over.is_set():
            return _late(timeout_s)
        return came(answer.status, dict(answer.headers.items()), datetime.fromtimestamp(timestamp, UTC))
    except (OSError, http.client.HTTPException, ValueError) as error:
        return _late(timeout_s) if over.is_set() else later(_why(error))
    finally:
        cut.cancel()
        connection.close()


def came(status: int, headers: Mapping[str, str], now: datetime) -> Came:
    """Return what an answer means that came *now*."""
    if 200 <= status < 300:
        return TAKEN
    if status == http.HTTPStatus.GONE:
        return Came(sent=Sent.GONE, reason="it answered 410: it is gone for good")
    if 300 <= status < 400:
        return later(f"it answered {status}, a redirect, which is not followed; give the URL that it leads to")
    if status in _REFUSALS:
        return Came(sent=Sent.REFUSED, reason=f"it refused this event: it answered {status}")
    asked_s = retry_after_s({name.lower(): value for name, value in headers.items()}, now)
    return later(f"it answered {status}", None if asked_s is None else timedelta(seconds=asked_s))


def _connection(url: str, proxies: Proxies) -> tuple[http.client.HTTPConnection, str, dict[str, str]]:
    """Return what to connect, what to ask it for, and headers for a proxy; raise BadInput for a proxy that cannot be used."""
    parts = urlsplit(url)
    path = parts._replace(scheme="", netloc="", fragment="").geturl() or "/"
    proxy = proxies.for_url(url)
    if proxy is None:
        return _to(parts), path, {}
    over = urlsplit(proxy)
    if over.scheme != "http":
        raise BadInput("cannot use a proxy that itself speaks TLS for webhooks; name one as http://host:port")
    login = f"{unquote(over.username or '')}:{unquote(over.password or '')}"
    authorization = (
        {"Proxy-Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"} if over.username else {}
    )
    if parts.scheme == "http":
        plain = http.client.HTTPConnection(over.hostname or "", over.port or 80, timeout=CONNECT_S)
        return plain, parts._replace(fragment="").geturl(), authorization
    tunnel = http.client.HTTPSConnection(over.hostname or "", over.port or 80, timeout=CONNECT_S, context=_tls())
    tunnel.set_tunnel(parts.hostname or "", parts.port or 443, authorization)
    return tunnel, path, {}


def _to(parts: SplitResult) -> http.client.HTTPConnection:
    host = parts.hostname or ""
    if parts.scheme == "https":
        return http.client.HTTPSConnection(host, parts.port, timeout=CONNECT_S, context=_tls())
    return http.client.HTTPConnection(host, parts.port, timeout=CONNECT_S)


def _tls() -> ssl.SSLContext:
    """Return TLS with the authorities of this machine, or of ``SSL_CERT_FILE``."""
    return ssl.create_default_context()


def _check_peer(connection: http.client.HTTPConnection) -> None:
    """Raise OSError where the connection leads to where clouds tell their machines secrets."""
    peer = address_of(str(connection.sock.getpeername()[0]))
    if peer is not None and is_for_machine_alone(peer):
        raise OSError("it leads to a link-local address or another one where clouds tell their machines secrets")
    connection.sock.settimeout(TIMEOUT_S)


def _cut(connection: http.client.HTTPConnection, over: threading.Event) -> None:
    """End a request that takes too long: who waits for its answer wakes up."""
    over.set()
    sock: socket.socket | None = connection.sock
    if sock is not None:
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)


def _late(timeout_s: float) -> Came:
    return later(f"it did not answer within {timeout_s:g} s")


def _why(error: Exception) -> str:
    """Return why nothing came of it, without the URL."""
    if isinstance(error, TimeoutError):
        return f"no connection to it within {CONNECT_S:g} s"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, socket.gaierror):
        return "no address of its host is known"
    if isinstance(error, OSError) and not isinstance(error, ssl.SSLError):
        return error.strerror or str(error) or type(error).__name__
    return f"its answer could not be read: {type(error).__name__}"
