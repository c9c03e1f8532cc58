"""The ``hosts.toml`` files that this agent writes, where its owner opted in to that: ours alone, and removed again.

They let an engine with the containerd store ask the gateway under the images' own names, and give everybody else's pulls
on the host the mirrors of the policy.
"""

import base64
import contextlib
import json
import logging
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fleet.mirrors.source import MirrorRule
from fleet.mirrors.table import MirrorTable
from fleet.registry.address import origin_address
from fleet.registry.tls import DOCKER_CERTS, expanded, folder_names

HOSTS_FILE = "hosts.toml"
MARKER = "# Written by Fleet's agent, which replaces and removes it. Without this line it is yours, and is left alone."
_DEFAULT = "_default"
"""The folder that containerd reads for every registry without one of its own, also for one on loopback."""
_HEADER = "authorization = "
_BEGUN = ".fleet-"
"""How the name of a file begins that is not in its place yet."""
_DIAL = "500ms"
"""How long containerd tries to connect to a gateway that is not there: it is on this host."""


log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """Where the gateway listens, and what it is shown for one pull."""

    host: str
    user: str
    secret: str = field(repr=False)

    @property
    def authorization(self) -> str:
        """The value of the header."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.secret}".encode()).decode()


class ManagedHosts:
    """The files below one ``certs.d``."""

    def __init__(self, folder: Path | None = None) -> None:
        """Take the folder; None: the one of the Docker daemon that this user runs."""
        self._folder = expanded(folder or DOCKER_CERTS[0 if os.geteuid() == 0 else 1])

    def refusal(self, registry: str, table: MirrorTable) -> str:
        """Return why no file may be written for *registry*; empty where one may."""
        if origin_address(registry, insecure=table.insecure).insecure:
            return f"{registry} is insecure, of which a hosts.toml tells another story"
        place = self._place(registry)
        return "" if self._free(place) else f"{place} holds files that are not Fleet's"

    @contextlib.contextmanager
    def open_door(self, registry: str, table: MirrorTable, door: Door) -> Iterator[None]:
        """Let the engine ask the gateway at *door* first for images of *registry*, for a while; raise OSError.

        What stays afterwards are the mirrors of *table*, or nothing where it has none.
        """
        # An engine knows no proxy of a single mirror, and would go there by another way than it may.
        mirrors = tuple(rule for rule in table.mirrors_of(registry) if not rule.endpoint.proxy)
        self._write(registry, hosts_toml(registry, mirrors, door), secret=True)
        try:
            yield
        finally:
            self._close_door(registry, mirrors)

    def _close_door(self, registry: str, mirrors: tuple[MirrorRule, ...]) -> None:
        """Leave the *mirrors* of *registry* where the door was; what fails is told: the image is there all the same."""
        place = self._place(registry)
        file = place / HOSTS_FILE
        if file.exists() and not is_managed(file):
            log.warning("hosts.toml is somebody else's now, and is left alone", extra={"file": str(file)})
            return
        try:
            if mirrors and self._free(place):
                self._write(registry, hosts_toml(registry, mirrors))
            else:
                self._remove(file)
        except OSError as error:
            log.warning("cannot write hosts.toml after a pull", extra={"file": str(file), "reason": error.strerror})
            with contextlib.suppress(OSError):
                self._remove(file)

    def keep_loopback(self, host: str) -> None:
        """Let pulls from the gateway at *host* go there, where somebody's ``_default`` would take them; raise OSError.

        What is there of another port's goes.
        """
        for file in self._ours():
            if file.parent.name.startswith("127.0.0.1"):
                self._remove(file)
        if (self._folder / _DEFAULT / HOSTS_FILE).is_file() and self._free(self._place(host)):
            self._write(host, f"{MARKER}\nserver = {_text(f'http://{host}')}\n")

    def sweep(self) -> int:
        """Remove what a killed agent left with the secret of its last pull in it; return how many files there were.

        Raise OSError.
        """
        left = [file for file in self._ours() if _is_begun(file) or _HEADER in file.read_text(errors="replace")]
        for file in left:
            self._remove(file)
        return len(left)

    def remove_all(self) -> int:
        """Remove every file of ours, and the folders that are empty then; return how many files there were."""
        ours = self._ours()
        for file in ours:
            self._remove(file)
        return len(ours)

    def _free(self, place: Path) -> bool:
        """Tell whether nobody else has a file in *place*."""
        return not place.is_dir() or all(is_managed(file) for file in place.iterdir())

    def _ours(self) -> list[Path]:
        files = [*self._folder.glob(f"*/{HOSTS_FILE}"), *self._folder.glob(f"*/{_BEGUN}*")]
        return [file for file in files if is_managed(file)]

    def _place(self, registry: str) -> Path:
        """Return the folder that containerd reads for *registry*: the first that is there, else the one to be made."""
        places = [self._folder / name for name in folder_names(registry)]
        return next((place for place in places if place.is_dir()), places[0])

    def _write(self, registry: str, text: str, *, secret: bool = False) -> None:
        """Put the file in place at once: containerd reads it at every pull, and ignores half a file without a word."""
        place = self._place(registry)
        place.mkdir(mode=0o755, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=place, prefix=_BEGUN)
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(text)
            Path(name).chmod(0o600 if secret else 0o644)
            Path(name).replace(place / HOSTS_FILE)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise

    def _remove(self, file: Path) -> None:
        file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            file.parent.rmdir()


def hosts_toml(registry: str, mirrors: tuple[MirrorRule, ...], door: Door | None = None) -> str:
    """Return the file: the gateway where there is one, the mirrors in their order, and the registry itself last."""
    lines = [MARKER, f"server = {_text(f'https://{origin_address(registry).host}')}"]
    if door is not None:
        url = _text(f"http://{door.host}")
        lines += ["", f"[host.{url}]", 'capabilities = ["pull"]', f"dial_timeout = {_text(_DIAL)}"]
        lines += [f"[host.{url}.header]", f"{_HEADER}{_text(door.authorization)}"]
    roots: set[str] = set()
    for rule in mirrors:
        root = _root(rule)
        if root not in roots:
            roots.add(root)
            lines += ["", *_mirror(root, rule)]
    return "\n".join(lines) + "\n"


def is_managed(file: Path) -> bool:
    """Tell whether *file* is one that this agent wrote."""
    try:
        with file.open("rb") as opened:
            return _is_begun(file) or opened.readline().strip() == MARKER.encode()
    except OSError:
        return False


def _is_begun(file: Path) -> bool:
    """Tell whether *file* is one of ours that was not put in its place: the agent was killed meanwhile."""
    return file.name.startswith(_BEGUN)


def _root(rule: MirrorRule) -> str:
    endpoint = rule.endpoint
    return f"{endpoint.scheme}://{endpoint.host}{endpoint.base_path}/v2/{endpoint.repo_prefix}".rstrip("/")


def _mirror(root: str, rule: MirrorRule) -> list[str]:
    endpoint = rule.endpoint
    capabilities = '["pull", "resolve"]' if rule.resolve else '["pull"]'
    lines = [f"[host.{_text(root)}]", f"capabilities = {capabilities}", "override_path = true"]
    if endpoint.insecure:
        lines.append("skip_verify = true")
    if endpoint.ca_file:
        lines.append(f"ca = {_text(endpoint.ca_file)}")
    if endpoint.client_cert:
        lines.append(f"client = [[{_text(endpoint.client_cert)}, {_text(endpoint.client_key)}]]")
    return lines


def _text(text: str) -> str:
    """Return *text* as a TOML string; what JSON writes in ASCII is one."""
    return json.dumps(text)
