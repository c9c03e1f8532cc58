"""Where the API answers: a unix socket of this machine, or HTTPS elsewhere."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from fleet.errors import BadInput
from fleet.registry.address import names_loopback


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerAddress:
    """Where the API answers, and with which token."""

    url: str
    """``https://host:port``, or ``http://`` on loopback alone; for the socket, any name."""
    socket: Path | None = None
    """The unix socket; None: by TCP."""
    token: str = field(default="", repr=False)
    ca_file: Path | None = None
    """The PEM file that vouches for the server; None: the system's."""

    @classmethod
    def parse(cls, text: str, *, token: str = "", ca_file: Path | None = None) -> Self:
        """Read ``unix:///path``, a path, or an ``https://`` URL; raise BadInput for what is broken or unsafe."""
        if text.startswith(("/", "unix://")):
            path = Path(text.removeprefix("unix://"))
            if not path.is_absolute():
                raise BadInput(f"cannot use {text!r} as a server; expected unix:///run/fleet/fleet.sock")
            return cls(url="http://fleet", socket=path, token=token)
        try:
            parts = urlsplit(text)
            host, _port = parts.hostname, parts.port
        except ValueError:
            host, parts = None, urlsplit("")
        if parts.scheme not in ("https", "http") or not host or parts.query or parts.fragment:
            raise BadInput(f"cannot use {text[:200]!r} as a server; expected https://HOST:PORT or unix:///PATH")
        if parts.username or parts.password:
            raise BadInput("cannot take a login in the server's URL; put the token into a file: --token-file FILE")
        if parts.scheme == "http" and not names_loopback(host):
            raise BadInput(f"cannot speak to {host} without TLS: the token would travel in the clear; use https://")
        return cls(url=text.rstrip("/"), token=token, ca_file=ca_file)

    def __str__(self) -> str:
        """Return the address as a person writes it."""
        return f"unix://{self.socket}" if self.socket else self.url
