"""Registries of the lab: origins, pull-through caches, mirrors that lie, and one that is not there; each writes an access log."""

import json
import re
import ssl
import sys
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import httpx2

from fleet.agent.probing import USER_AGENT as LOOK
from fleet.images.digest import Digest
from fleet.testing.distribution import Place, place_of
from fleet.testing.images import BuiltManifest
from tests.lab.images import Recipe, build, push
from tests.lab.machines import Machine, Running, eventually

TLS_PORT = 443
PLAIN_PORT = 5000
_COMBINED = re.compile(
    r'(?P<client>\S+) \S+ \S+ \[(?P<at>[^]]+)] "(?P<method>[A-Z]+) (?P<path>[^ ?"]+)\S* [^"]*" (?P<status>\d+) (?P<sent>\d+|-)'
    r' "[^"]*" "(?P<agent>[^"]*)"'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """One request, as the registry itself wrote it down."""

    at: float
    """Seconds since 1970; whole seconds with Docker's own registry."""
    client: str
    method: str
    path: str
    status: int
    sent: int
    """Bytes of the body that left."""
    agent: str = ""
    """Who asked, by its own word."""

    @property
    def place(self) -> Place:
        """What was asked for: its ``kind``, ``repository`` and ``tail``."""
        return place_of(self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """What a registry shows, and the authority that vouches for it."""

    certificate: Path
    key: Path
    authority: Path


class Registry(ABC):
    """One registry on a machine of its own."""

    def __init__(self, machine: Machine, tls: Tls | None = None) -> None:
        self.machine = machine
        self.tls = tls
        self.running: Running | None = None

    @property
    def port(self) -> int:
        """443 with TLS, as an origin; 5000 without."""
        return TLS_PORT if self.tls else PLAIN_PORT

    @property
    def host(self) -> str:
        """Address and port, as a reference or an attempt names it."""
        return self.machine.address if self.tls else f"{self.machine.address}:{self.port}"

    @property
    def url(self) -> str:
        """Scheme, address and port, as a mirror is configured."""
        return f"{'https' if self.tls else 'http'}://{self.host}"

    @abstractmethod
    def start(self) -> None:
        """Start it, without waiting until it listens."""

    @abstractmethod
    def accesses(self) -> list[Access]:
        """Return every request so far, oldest first."""

    def ready(self) -> None:
        """Wait until it listens."""
        running = self.running
        assert running is not None
        eventually(f"registry {self.machine.name} listening", self._listens, within_s=90)

    def stop(self) -> None:
        """End it: connections are refused from now on."""
        assert self.running is not None
        self.running.stop(patience_s=5)

    def push(self, repository: str, tag: str, image: Recipe | BuiltManifest) -> Digest:
        """Push an image to it, and return the digest."""
        built = build(image) if isinstance(image, Recipe) else image
        return push(self.url, repository, tag, built, ca=self.tls.authority if self.tls else None)

    def get_json(self, path: str) -> Any:
        """Return a document that it holds, asked from here; its log has the request."""
        trusted = ssl.create_default_context(cafile=str(self.tls.authority)) if self.tls else False
        with httpx2.Client(base_url=self.url, verify=trusted, trust_env=False) as client:
            return client.get(path, headers={"Accept": "*/*"}).raise_for_status().json()

    def bytes_to(self, client: str, repository: str = "") -> int:
        """Return the bytes of blobs that it sent to an address, by its own log."""
        rows = [row for row in self.accesses() if row.client == client and row.method == "GET"]
        return sum(r.sent for r in rows if r.place.kind == "blobs" and repository in ("", r.place.repository))

    def asked(self, kind: str, method: str = "GET", client: str = "") -> list[Access]:
        """Return the requests of one kind and method, from all machines or one."""
        return [
            row
            for row in self.accesses()
            if row.place.kind == kind and row.method == method and client in ("", row.client)
        ]

    def sent(self, client: str, digests: Collection[str]) -> int:
        """Return the bytes of *digests* that it sent to an address for pulls, by its own log.

        A look at a mirror measures once a day how fast it gives a layer; those bytes are no pull's, and say so.
        """
        rows = self.asked("blobs", client=client) + self.asked("manifests", client=client)
        return sum(row.sent for row in rows if row.place.tail in digests and row.agent != LOOK)

    def _listens(self) -> bool:
        # Nothing else listens on the machine, so its own table of sockets is the kindest place to look.
        table = self.machine.run("cat", "/proc/net/tcp", "/proc/net/tcp6").stdout
        return f":{self.port:04X} " in table


class DockerRegistry(Registry):
    """Docker's own registry (distribution), as an origin or as a pull-through cache."""

    def __init__(self, machine: Machine, tls: Tls | None = None, upstream: str = "") -> None:
        """With *upstream*, a URL, it is a cache of that registry."""
        super().__init__(machine, tls)
        self._upstream = upstream

    def start(self) -> None:
        """Start it with its log of accesses."""
        file = self.machine.folder / "registry.yml"
        file.write_text(json.dumps(self._configuration()))
        quiet = {"OTEL_TRACES_EXPORTER": "none"}
        self.running = self.machine.start("registry", "docker-registry", "serve", file, environment=quiet)

    def accesses(self) -> list[Access]:
        """Return every request so far, oldest first."""
        log = self.machine.folder / "registry.log"
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        return [access for line in lines if (access := _combined(line)) is not None]

    def _configuration(self) -> dict[str, Any]:
        http: dict[str, Any] = {"addr": f":{self.port}"}
        if self.tls:
            http["tls"] = {"certificate": str(self.tls.certificate), "key": str(self.tls.key)}
        return {
            "version": 0.1,
            "log": {"level": "warn"},
            "storage": {"filesystem": {"rootdirectory": f"{self.machine.folder}/data"}, "delete": {"enabled": True}},
            "http": http,
        } | ({"proxy": {"remoteurl": self._upstream}} if self._upstream else {})


class ScriptableRegistry(Registry):
    """The project's own registry, which does wrong whatever it is asked to."""

    def __init__(
        self, machine: Machine, tls: Tls | None = None, upstream: str = "", user: str = "", realm: str = ""
    ) -> None:
        """*user* (``name:password``) is what Basic asks for; *upstream* gives what was not pushed here.

        *realm* is the URL of where tokens are given, which it then asks for.
        """
        super().__init__(machine, tls)
        self._upstream, self._user, self._realm = upstream, user, realm
        self._script = machine.folder / "faults.json"
        self._log = machine.folder / "access.jsonl"

    def start(self) -> None:
        """Start it with its log of accesses."""
        options: list[str | Path] = ["--bind", "0.0.0.0", "--port", str(self.port)]
        options += ["--script", self._script, "--access-log", self._log]
        if self.tls:
            options += ["--cert", self.tls.certificate, "--key", self.tls.key]
        if self._upstream:
            options += ["--upstream", self._upstream, "--upstream-ca", "/etc/ssl/certs/ca-certificates.crt"]
        if self._user:
            options += ["--user", self._user]
        if self._realm:
            options += ["--realm", self._realm]
        self.running = self.machine.start("registry", sys.executable, "-m", "fleet.testing.registry", *options)

    def misbehave(self, *rules: Mapping[str, Any]) -> None:
        """Put *rules* in force instead of those before: ``{"fault": "wrong_bytes", "kind": "blobs"}``; none: be good."""
        fresh = self._script.with_suffix(".fresh")
        fresh.write_text(json.dumps({"rules": list(rules)}))
        fresh.replace(self._script)

    def accesses(self) -> list[Access]:
        """Return every request so far, oldest first."""
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        return [_scripted(line) for line in lines]

    def was_told(self, text: str) -> bool:
        """Tell whether any request so far held *text*, in whichever header."""
        return self._log.exists() and text in self._log.read_text()


class DeadRegistry(Registry):
    """A machine that answers, and refuses every connection: a mirror that died."""

    def start(self) -> None:
        """Start nothing."""

    def ready(self) -> None:
        """Be dead at once."""

    def stop(self) -> None:
        """Stay dead."""

    def accesses(self) -> list[Access]:
        """Return nothing, for nobody was served."""
        return []


def mirror_options(mirrors: Sequence[Registry]) -> dict[str, Any]:
    """Return what daemon.json says of *mirrors*, in their order."""
    # Engine 26.1 with containerd's store speaks TLS to a mirror whatever its address says, unless it is insecure too.
    plain = [mirror.host for mirror in mirrors if not mirror.tls]
    return {"registry-mirrors": [mirror.url for mirror in mirrors], "insecure-registries": plain}


@cache
def _combined(line: str) -> Access | None:
    """Read one line; logs are read again and again while they grow."""
    found = _COMBINED.match(line)
    if found is None:
        return None
    return Access(
        at=datetime.strptime(found["at"], "%d/%b/%Y:%H:%M:%S %z").timestamp(),
        client=found["client"].rpartition(":")[0] or found["client"],
        method=found["method"],
        path=found["path"],
        status=int(found["status"]),
        sent=0 if found["sent"] == "-" else int(found["sent"]),
        agent=found["agent"],
    )


@cache
def _scripted(line: str) -> Access:
    row = json.loads(line)
    told = {name: row[name] for name in ("at", "client", "method", "path", "status", "sent")}
    return Access(**told, agent=row["headers"].get("user-agent", ""))
