"""Who to be at a mirror, where a ``hosts.toml`` says it: the only way in which the Docker daemon logs in to a mirror."""

import base64
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from fleet.mirrors.hosts_toml import read_hosts_toml
from fleet.mirrors.sources import hosts_files
from fleet.registry.credentials import Credentials, CredentialSource
from fleet.registry.stamps import Stamp, stamp
from fleet.registry.tls import DOCKER_CERTS

log = logging.getLogger(__name__)


class HostsTomlCredentials:
    """The ``Authorization`` headers of this host's ``hosts.toml``, before what another source knows.

    Each is shown to the server under which it is written, and to no other. Files are read again when they change. May be
    used by several threads.
    """

    def __init__(self, others: CredentialSource, *, folders: Sequence[Path] = DOCKER_CERTS) -> None:
        """Take the source that is asked where no file gives a header."""
        self._others, self._folders = others, folders
        self._read: tuple[tuple[Stamp, ...], Mapping[str, Credentials]] = ((), {})

    async def for_host(self, host: str) -> Credentials | None:
        """Return what the files say is shown to *host*, else what the other source knows. Never raises."""
        return self._known().get(host.lower()) or await self._others.for_host(host)

    def _known(self) -> Mapping[str, Credentials]:
        files = hosts_files(self._folders)
        stamps = tuple(found for path, _ in files if (found := stamp(path)) is not None)
        if stamps != self._read[0]:
            self._read = stamps, _all(files)
        return self._read[1]


def _all(files: Sequence[tuple[Path, str]]) -> Mapping[str, Credentials]:
    found: dict[str, Credentials] = {}
    for path, registry in files:
        try:
            headers = read_hosts_toml(path.read_bytes(), registry, str(path)).authorization
        except OSError:
            continue  # told with the mirrors of the same file
        for host, header in headers.items():
            credentials = read_authorization(header)
            if credentials is None:
                log.warning("login of hosts.toml unusable", extra={"where": str(path), "host": host})
            else:
                found.setdefault(host.lower(), credentials)
    return found


def read_authorization(header: str) -> Credentials | None:
    """Return what an ``Authorization`` header shows, None for one that is neither Basic nor Bearer."""
    scheme, _, value = header.strip().partition(" ")
    if scheme.lower() == "bearer" and value.strip():
        return Credentials(registry_token=value.strip())
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(value.strip(), validate=True).decode().partition(":")
    except ValueError:  # which errors of base64 and UTF-8 are
        return None
    return Credentials(username=user, password=password) if colon else None
