"""The lab: machines on a bridge of their own, with engines, registries, Redis, PostgreSQL and the centre; gone at the end."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from fleet.testing.certificates import TestAuthority
from tests.lab.centre import Centre
from tests.lab.engines import Engine, Generation
from tests.lab.machines import Machine
from tests.lab.place import Place, claim, release
from tests.lab.registries import DeadRegistry, DockerRegistry, Registry, ScriptableRegistry, Tls, mirror_options
from tests.lab.servers import PostgreSql, Redis

DOCKER_HUB = ("registry-1.docker.io", "index.docker.io", "docker.io", "auth.docker.io")
"""The names under which an origin of the lab is Docker Hub, to every machine in it."""
HUB = f"https://{DOCKER_HUB[0]}"
"""Where a mirror of Docker Hub asks."""
_SYSTEM_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
RegistryT = TypeVar("RegistryT", bound=Registry)


class Host(Engine):
    """A machine with an engine, on which an agent may run."""

    @property
    def name(self) -> str:
        """Its host name."""
        return self.machine.name

    @property
    def address(self) -> str:
        """Its address, as registries write it into their logs."""
        return self.machine.address

    @property
    def engine_url(self) -> str:
        """The socket of its engine, reachable from everywhere on this machine."""
        return self.url

    def docker(self, *arguments: str, check: bool = True, input: str | None = None) -> str:
        """Say one docker command on it and return what it prints."""
        return self.machine.run(_DOCKER, *arguments, check=check, input=input).stdout.strip()


_DOCKER = Generation.V26.programs / "docker" if Generation.V26.installed else Path("docker")
"""A client that each generation of engines understands; that of 20.10 is too old for 29."""


class Lab:
    """A context manager; every machine, process, mount and address that it made is gone when it ends."""

    def __init__(self) -> None:
        self.authority = TestAuthority("Fleet lab authority")
        self.hosts: dict[str, Host] = {}
        self.registries: dict[str, Registry] = {}
        self._machines: list[Machine] = []
        self._names: dict[str, str] = {}
        self._place: Place | None = None

    def __enter__(self) -> Self:
        self._place = place = claim()
        (place.folder / "resolv").write_text("")
        ca = self.authority.write(place.folder / "ca.pem")
        (place.folder / "bundle").write_bytes(_SYSTEM_BUNDLE.read_bytes() + ca.read_bytes())
        self._write_names()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with ExitStack() as ending:
            ending.callback(release, self.place)
            for machine in self._machines:
                ending.callback(machine.shut_down)
        self._place = None

    @property
    def place(self) -> Place:
        """Its number, folder and bridge."""
        assert self._place is not None, "a lab is used as a context manager"
        return self._place

    @property
    def ca(self) -> Path:
        """The certificate of the lab's authority, which every machine of it trusts."""
        return self.place.folder / "ca.pem"

    def machine(self, name: str, names: Sequence[str] = (), **environment: str) -> Machine:
        """Boot one more machine; *names* lead to it from every machine."""
        trust = {"SSL_CERT_FILE": str(_SYSTEM_BUNDLE), "PYTHONUNBUFFERED": "1"}
        machine = Machine(self.place, name, len(self._machines) + 2, trust | environment)
        self._machines.append(machine)
        self._names.update({name: machine.address} | dict.fromkeys(names, machine.address))
        self._write_names()
        machine.boot()
        return machine

    def host(
        self,
        name: str,
        engine: str = Generation.V20,
        *,
        names: Sequence[str] = (),
        mirrors: Sequence[Registry] = (),
        options: Mapping[str, Any] | None = None,
        wait: bool = True,
    ) -> Host:
        """Boot a machine with an engine; *mirrors* stand in its daemon.json, with whatever else *options* say."""
        generation = Generation(engine)
        generation.need()
        host = Host(self.machine(name, names), generation)
        host.configure((mirror_options(mirrors) if mirrors else {}) | dict(options or {}))
        host.start()
        self.hosts[name] = host
        if wait:
            host.ready()
        return host

    def origin(self, name: str = "origin", names: Sequence[str] = DOCKER_HUB) -> DockerRegistry:
        """Start Docker's own registry with TLS, reachable as *names*: by default, as Docker Hub."""
        machine = self.machine(name, names)
        return self._started(DockerRegistry(machine, self.tls(machine, names)))

    def scriptable(
        self,
        name: str,
        names: Sequence[str] = (),
        *,
        tls: bool = False,
        upstream: str = "",
        user: str = "",
        on: Machine | None = None,
    ) -> ScriptableRegistry:
        """Start a registry that can be told to misbehave; *upstream* makes it a mirror of that URL.

        *on* is a machine whose registry was stopped: the new one takes its address over.
        """
        machine = on or self.machine(name, names)
        given = self.tls(machine, names) if tls else None
        return self._started(ScriptableRegistry(machine, given, upstream, user))

    def cache(self, name: str, upstream: str = HUB, *, on: Machine | None = None) -> DockerRegistry:
        """Start Docker's own pull-through cache of *upstream*."""
        return self._started(DockerRegistry(on or self.machine(name), upstream=upstream))

    def lying(self, name: str, upstream: str = HUB, *, on: Machine | None = None) -> ScriptableRegistry:
        """Start a mirror of *upstream* whose blobs have the right size and wrong bytes."""
        mirror = self.scriptable(name, upstream=upstream, on=on)
        mirror.misbehave({"fault": "wrong_bytes", "kind": "blobs"})
        return mirror

    def dead(self, name: str, *, on: Machine | None = None) -> DeadRegistry:
        """Give a mirror that refuses every connection."""
        return self._started(DeadRegistry(on or self.machine(name)))

    def redis(self, name: str = "redis") -> Redis:
        """Start a Redis with TLS and ACLs."""
        machine = self.machine(name)
        redis = Redis(machine, self.tls(machine, ()))
        redis.start()
        redis.ready()
        return redis

    def postgresql(self, name: str = "postgresql") -> PostgreSql:
        """Start a PostgreSQL with an empty database."""
        server = PostgreSql(self.machine(name))
        server.start()
        server.ready()
        return server

    def centre(self, redis: Redis, database_url: str, name: str = "centre", **environment: str) -> Centre:
        """Boot the machine of the central processes; nothing runs on it yet."""
        return Centre(self.machine(name), redis, database_url, environment)

    def tls(self, machine: Machine, names: Sequence[str]) -> Tls:
        """Issue a certificate for *machine*, its address and *names*."""
        certificate, key = self.authority.issue([*names, machine.name, machine.address], machine.folder)
        return Tls(certificate=certificate, key=key, authority=self.ca)

    def ready(self) -> None:
        """Wait until every engine answers that was started without waiting."""
        with ThreadPoolExecutor() as pool:
            list(pool.map(Host.ready, self.hosts.values()))

    def _started(self, registry: RegistryT) -> RegistryT:
        self.registries[registry.machine.name] = registry
        registry.start()
        registry.ready()
        return registry

    def _write_names(self) -> None:
        # Written in place: each machine has this very file mounted over its own.
        lines = ["127.0.0.1 localhost", *(f"{address} {name}" for name, address in self._names.items())]
        (self.place.folder / "hosts").write_text("\n".join(lines) + "\n")
