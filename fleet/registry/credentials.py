"""Who to be at a registry: read from Docker's ``config.json`` as the docker command reads it, by host."""

import asyncio
import base64
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self
from weakref import WeakKeyDictionary

from fleet.clock import Clock, SystemClock
from fleet.errors import AuthNeeded, BadInput
from fleet.registry.keychain import KEYCHAIN_LIMIT_S, ask
from fleet.registry.stamps import Stamp, stamp
from fleet.registry.tls import expanded

HUB_KEY = "https://index.docker.io/v1/"
"""The name that Docker Hub's credentials have in ``config.json`` and in credential programs."""
_HUB_HOSTS = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
_TOKEN_USER = "<token>"  # noqa: S105
KEPT_S = 300.0
"""How long a credential program's answer is kept: short enough for tokens that programs renew every few hours."""
FAILURE_KEPT_S = 30.0
"""How long a program's failure is kept, so that one that hangs costs its limit once and not for every layer."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What a registry is shown: user and password, an identity token, or a registry token. Never printed."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    """A refresh token, exchanged at the registry's realm."""
    registry_token: str = field(default="", repr=False)
    """A bearer token, shown to the registry as it is."""

    @property
    def basic(self) -> str:
        """The value of an ``Authorization`` header by RFC 7617."""
        pair = f"{self.username}:{self.password or self.identity_token}"
        return "Basic " + base64.b64encode(pair.encode()).decode()


class CredentialSource(Protocol):
    """Knows who to be at which host."""

    async def for_host(self, host: str) -> Credentials | None:
        """Return what is shown to *host* (with its port, where it has one), None for nothing. Never raises."""
        ...


class NoCredentials:
    """Is nobody anywhere."""

    async def for_host(self, host: str) -> Credentials | None:
        """Return None."""
        return None


class DockerConfig:
    """Docker's ``config.json``: ``credHelpers`` before ``credsStore`` before ``auths``. Read again when it changes.

    May be used by several event loops, in several threads.
    """

    def __init__(self, path: Path, *, clock: Clock | None = None, limit_s: float = KEYCHAIN_LIMIT_S) -> None:
        """Take the file's path; ``load`` reads it at once."""
        self._path = path
        self._clock = clock or SystemClock()
        self._limit_s = limit_s
        self._content: Mapping[str, Any] = {}
        self._stamp: Stamp | None = None
        self._kept: dict[str, tuple[float, Credentials | None]] = {}
        self._asking: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, asyncio.Lock]] = WeakKeyDictionary()
        """By event loop: a lock belongs to one, and this object is used by several, one after the other and at once."""

    @classmethod
    def load(cls, path: Path | None = None, *, clock: Clock | None = None, limit_s: float = KEYCHAIN_LIMIT_S) -> Self:
        """Read *path*, else ``$DOCKER_CONFIG/config.json``, else ``~/.docker/config.json``; a missing file is empty.

        Raise BadInput for a file that is there and cannot be read as Docker's configuration.
        """
        config = cls(path or default_path(), clock=clock, limit_s=limit_s)
        config._refresh()
        return config

    async def for_host(self, host: str) -> Credentials | None:
        """Return what ``config.json`` and its credential programs know for *host*; a failure is logged, and is None."""
        try:
            self._refresh()
        except BadInput as error:
            log.warning("docker configuration unreadable, keeping what was read before", extra={"reason": str(error)})
        key = HUB_KEY if host.lower() in _HUB_HOSTS else host.lower()
        program = self._program(key)
        return await self._from_program(program, key) if program else self._from_auths(key)

    def _refresh(self) -> None:
        now = stamp(self._path)
        if now == self._stamp:
            return
        self._content = _read(self._path) if now else {}
        self._stamp, self._kept = now, {}

    def _program(self, key: str) -> str:
        helpers = {_plain(server): str(name) for server, name in (self._content.get("credHelpers") or {}).items()}
        return helpers.get(_plain(key)) or str(self._content.get("credsStore") or "")

    def _from_auths(self, key: str) -> Credentials | None:
        auths = self._content.get("auths") or {}
        entry = auths.get(key) or next(
            (entry for server, entry in auths.items() if _plain(server) == _plain(key)), None
        )
        return _credentials(entry) if isinstance(entry, Mapping) else None

    async def _from_program(self, program: str, key: str) -> Credentials | None:
        locks = self._asking.setdefault(asyncio.get_running_loop(), {})
        async with locks.setdefault(key, asyncio.Lock()):
            until, credentials = self._kept.get(key, (0.0, None))
            if key in self._kept and self._clock.monotonic() < until:
                return credentials
            kept_s = KEPT_S
            try:
                credentials = await asyncio.to_thread(self._ask, program, key)
            except AuthNeeded as error:
                log.warning("credential program failed", extra={"registry": key, "reason": str(error)})
                credentials, kept_s = None, FAILURE_KEPT_S
            # Some logins stay in the file although a store is named; the docker command finds them there, too.
            credentials = credentials or self._from_auths(key)
            self._kept[key] = (self._clock.monotonic() + kept_s, credentials)
            return credentials

    def _ask(self, program: str, key: str) -> Credentials | None:
        answer = ask(program, key, limit_s=self._limit_s)
        if answer is None:
            return None
        user, secret = answer
        if user == _TOKEN_USER:
            return Credentials(identity_token=secret)
        return Credentials(username=user, password=secret)

    def __repr__(self) -> str:
        """Name the file, not what it holds."""
        return f"DockerConfig({str(self._path)!r})"


def default_path() -> Path:
    """Return where the docker command looks for its configuration."""
    return expanded(Path(os.environ.get("DOCKER_CONFIG") or "~/.docker")) / "config.json"


def _read(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput(f"cannot read Docker's configuration {path}; is it JSON, and may this user read it?") from error
    parts = ("auths", "credHelpers")
    if not isinstance(content, dict) or not all(isinstance(content.get(part) or {}, dict) for part in parts):
        raise BadInput(f"cannot use Docker's configuration {path}; expected an object with auths and credHelpers")
    return content


def _plain(server: str) -> str:
    """Return the host (with port) of a key of ``auths``, which may be written as a URL; all of Docker Hub's are one."""
    host = server.partition("://")[2] or server
    host = host.partition("/")[0].lower()
    return "docker.io" if host in _HUB_HOSTS else host


def _credentials(entry: Mapping[str, Any]) -> Credentials | None:
    """Read one entry of ``auths``: ``auth`` is base64 of ``user:password``; None for an empty or broken one."""
    username, password = str(entry.get("username") or ""), str(entry.get("password") or "")
    if entry.get("auth"):
        try:
            pair = base64.b64decode(str(entry["auth"]), validate=True).decode()
        except ValueError:  # which errors of base64 and UTF-8 are
            return None
        username, _, password = pair.rstrip("\0").partition(":")
    identity, registry = str(entry.get("identitytoken") or ""), str(entry.get("registrytoken") or "")
    if not (password or identity or registry) or not _can_be_shown(username + password + identity):
        return None
    return Credentials(username=username, password=password, identity_token=identity, registry_token=registry)


def _can_be_shown(text: str) -> bool:
    """Tell whether *text* is such that a request can hold it: JSON can spell halves of characters."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
