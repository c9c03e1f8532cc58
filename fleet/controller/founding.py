"""What a centre with servers of its own needs before its first start: an authority, certificates, passwords."""

import re
import secrets
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from fleet.errors import BadInput
from fleet.road.acl import password_hash
from fleet.road.authority import Authority, Certified
from fleet.updates.files import write_atomically

LOGIN = "centre"
"""The centre's own user at the broker."""
PASSWORD_BYTES = 32
SECRET, READABLE = 0o600, 0o644
_NAME = re.compile(r"[A-Za-z0-9:*][A-Za-z0-9.:_-]{0,252}")
"""What a certificate may be for, roughly: a host's name, an address of either kind, or a wildcard."""


def found(folder: Path, names: Sequence[str], now: datetime, *, readable: bool = False) -> list[str]:
    """Make what is not there yet under *folder*, and return the paths of what was made, from *folder* on.

    ``authority/`` is needed by this alone, ``centre/`` by Fleet, ``broker/`` by Redis and ``database/`` by PostgreSQL,
    so that each may be given its own. *names* are those by which hosts and people reach broker and API; certificates
    for others, and those near their end, are made anew. With *readable* all but the authority's key may be read by
    every user that reaches the folder: for volumes that one service alone has. Raise BadInput where that is impossible.
    """
    for name in names:
        if not _NAME.fullmatch(name):
            raise BadInput(f"cannot make a certificate for {name[:80]!r}; expected a host name or an address")
    made = _Founding(folder, READABLE if readable else SECRET)
    authority = made.authority(now)
    ca = authority.certified.certificate
    for place in ("centre", "broker"):
        made.write(f"{place}/ca.crt", ca, READABLE)
    for server in ("centre/web", "broker/broker"):
        made.certificate(server, authority, names, now)
    password = made.password("centre/broker.password")
    made.write("broker/users.acl", _users(password).encode())
    made.write("database/password", made.password("centre/database.password").encode())
    return made.paths


class _Founding:
    """Writes below one folder, and remembers what."""

    def __init__(self, folder: Path, mode: int) -> None:
        self.paths: list[str] = []
        self._folder = folder
        self._mode = mode

    def authority(self, now: datetime) -> Authority:
        certificate, key = self._read("authority/ca.crt"), self._read("authority/ca.key")
        if certificate and key:
            return Authority.load(Certified(certificate=certificate, key=key))
        if certificate or key:
            # Hosts trust the one that was there: another would lock all of them out.
            raise BadInput(f"cannot use {self._folder / 'authority'}: one of ca.crt and ca.key is lost; restore it")
        authority = Authority.make(now)
        self.write("authority/ca.key", authority.certified.key, SECRET)
        self.write("authority/ca.crt", authority.certified.certificate, READABLE)
        return authority

    def certificate(self, stem: str, authority: Authority, names: Sequence[str], now: datetime) -> None:
        there = self._read(f"{stem}.crt")
        if there and self._read(f"{stem}.key") and authority.still_good(there, names, now):
            return
        issued = authority.issue(names, now)
        self.write(f"{stem}.key", issued.key)
        self.write(f"{stem}.crt", issued.certificate)

    def password(self, path: str) -> str:
        there = self._read(path)
        if not there:
            there = secrets.token_urlsafe(PASSWORD_BYTES).encode()
            self.write(path, there)
        return there.decode()

    def write(self, path: str, content: bytes, mode: int | None = None) -> None:
        """Put *content* there, whole or not at all; what is so already is left alone."""
        file = self._folder / path
        if self._read(path) == content:
            return
        self._try(path, lambda: _write(file, content, self._mode if mode is None else mode))
        self.paths.append(path)

    def _read(self, path: str) -> bytes:
        file = self._folder / path
        found: list[bytes] = []
        if file.exists():
            self._try(path, lambda: found.append(file.read_bytes()))
        return found[0] if found else b""

    def _try(self, path: str, act: Callable[[], object]) -> None:
        try:
            act()
        except OSError as error:
            remedy = "; run this as its owner" if isinstance(error, PermissionError) else ""
            raise BadInput(f"cannot use {self._folder / path}: {error.strerror}{remedy}") from error


def _write(file: Path, content: bytes, mode: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, content, mode=mode)


def _users(password: str) -> str:
    """Return Redis' file of users: nobody but the centre; the hosts' own users are set by the centre while it runs."""
    return f"user default off\nuser {LOGIN} on #{password_hash(password)} ~* &* +@all\n"
