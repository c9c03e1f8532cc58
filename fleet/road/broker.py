"""Where the broker is, and how to speak to it without being listened to.

Two traps of the libraries are closed here: a bare ``rediss://`` checks no certificate, and ``rediss://`` with
``broker_use_ssl=True`` is plaintext. An address is therefore parsed once, the TLS options are always written out, and
what is unsafe is refused at start.
"""

import ssl
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self
from urllib.parse import SplitResult, quote, unquote, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from fleet.errors import BadInput
from fleet.registry.address import names_loopback

SOCKET_TIMEOUT_S = 30
"""The most that a command waits for its answer; more than the 5 s of a blocking read."""
CONNECT_TIMEOUT_S = 10
HEALTH_CHECK_S = 25
"""How old a connection may be before it is pinged first; kombu's own default, named so that it is one for all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerAddress:
    """One Redis or Valkey, by TCP with or without TLS, or by a unix socket."""

    scheme: str
    """``redis``, ``rediss`` or ``unix``."""
    host: str = ""
    port: int = 6379
    path: str = ""
    """The socket's path, for ``unix`` alone."""
    db: int = 0
    username: str = ""
    password: str = field(default="", repr=False)
    ca_pem: str = field(default="", repr=False)
    """The certificates that may vouch for the broker; never empty with ``rediss``."""

    @classmethod
    def parse(cls, url: str, ca_file: str | Path = "", *, ca_pem: str = "", plaintext: bool = False) -> Self:
        """Read ``redis://``, ``rediss://`` or ``unix:///path``; raise BadInput for what is broken or unsafe.

        ``rediss`` needs the CA that vouches for the broker, as a file or as text. Plain ``redis`` is taken on
        loopback, and elsewhere only where *plaintext* says that the network between is trusted.
        """
        try:
            parts = urlsplit(url)
            port = parts.port or 6379
        except ValueError as e:
            raise BadInput(
                "cannot read the broker's URL; expected rediss://HOST:PORT/0, redis://... or unix:///PATH"
            ) from e
        if parts.query or parts.fragment:
            raise BadInput("cannot take options in the broker's URL; TLS is set by its scheme and the CA file alone")
        username, password = unquote(parts.username or ""), unquote(parts.password or "")
        if parts.scheme == "unix":
            return cls(scheme="unix", path=_socket_path(parts), username=username, password=password)
        if parts.scheme not in ("redis", "rediss") or not parts.hostname:
            named = f"{parts.scheme}://" if parts.scheme else "what has no scheme"
            raise BadInput(
                f"cannot use {named} as the broker's address; expected rediss://HOST, redis://HOST or unix:///PATH"
            )
        pem = ca_pem or _read_ca(ca_file) if parts.scheme == "rediss" else ""
        server = {"host": parts.hostname, "ca_pem": pem, "username": username, "password": password}
        address = cls(scheme=parts.scheme, port=port, db=_db(parts.path), **server)
        address._refuse_unsafe(plaintext)
        return address

    def _refuse_unsafe(self, plaintext: bool) -> None:
        if self.scheme == "rediss":
            _check_ca(self.ca_pem)
        elif not plaintext and not names_loopback(self.host):
            raise BadInput(
                f"cannot speak to the broker at {self.host} in plaintext; use rediss:// with its CA, "
                "or say that the network is trusted (plaintext)"
            )

    def with_login(self, username: str, password: str) -> Self:
        """Return the same broker with another login."""
        return replace(self, username=username, password=password)

    def __str__(self) -> str:
        """Return the URL without login, for people and logs."""
        return self._url(self.scheme, "")

    @property
    def url(self) -> str:
        """The URL without login, as ``parse`` reads it."""
        return str(self)

    def kombu_url(self, *, transport: str) -> str:
        """Return the URL that Celery is given, with its login; *transport* is ``fleet`` or ``redis``."""
        login = f"{quote(self.username, safe='')}:{quote(self.password, safe='')}@" if self.password else ""
        return self._url(f"{transport}+socket" if self.scheme == "unix" else transport, login)

    def tls(self) -> dict[str, Any] | None:
        """Return the TLS options, always written out in full; None for a plain connection."""
        if self.scheme != "rediss":
            return None
        return {
            "ssl_cert_reqs": ssl.CERT_REQUIRED,
            "ssl_check_hostname": True,
            "ssl_ca_data": self.ca_pem,
            "ssl_min_version": ssl.TLSVersion.TLSv1_2,
        }

    def client(self) -> "redis.Redis":
        """Return a client of redis-py for what is not Celery's; it connects when it is first used."""
        shared: dict[str, Any] = {
            "username": self.username or None,
            "password": self.password or None,
            "db": self.db,
            "socket_timeout": SOCKET_TIMEOUT_S,
            "socket_connect_timeout": CONNECT_TIMEOUT_S,
            "health_check_interval": HEALTH_CHECK_S,
            "retry": once_more(),
        }
        if self.scheme == "unix":
            return redis.Redis(unix_socket_path=self.path, **shared)
        return redis.Redis(
            host=self.host,
            port=self.port,
            socket_keepalive=True,
            ssl=self.scheme == "rediss",
            **shared,
            **(self.tls() or {}),
        )

    def _url(self, scheme: str, login: str) -> str:
        if self.scheme == "unix":
            return f"{scheme}://{login}{quote(self.path)}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{login}{host}:{self.port}/{self.db}"


def once_more() -> Retry:
    """Return how a command is tried again: at once and once, for a connection that went stale.

    Redis-py's own way is to sleep between several tries, wrong passwords included; whoever uses a broker here has a
    way of its own to wait for one that is away.
    """
    return Retry(NoBackoff(), 1)


def _socket_path(parts: SplitResult) -> str:
    path = unquote(parts.path)
    if parts.hostname or not path.startswith("/"):
        raise BadInput("cannot use a unix:// URL without an absolute path; expected unix:///run/fleet/broker.sock")
    return path


def _db(path: str) -> int:
    number = path.strip("/") or "0"
    if not number.isdecimal():
        raise BadInput(f"cannot use {number!r} as the broker's database; expected a number")
    return int(number)


def _read_ca(ca_file: str | Path) -> str:
    if not str(ca_file):
        raise BadInput("cannot use rediss:// without the CA that vouches for the broker; name its file")
    try:
        return Path(ca_file).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as e:
        raise BadInput(f"cannot read the broker's CA {ca_file}: {getattr(e, 'strerror', None) or 'not PEM'}") from e


def _check_ca(pem: str) -> None:
    try:
        ssl.create_default_context(cadata=pem)
    except (ssl.SSLError, ValueError) as e:
        raise BadInput("cannot use the broker's CA: it is not a PEM certificate") from e
