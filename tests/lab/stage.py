"""What stands when the demo begins: engines, registries, Redis, PostgreSQL, the centre and an agent on each host."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from fleet.errors import FleetError
from tests.lab.centre import Centre
from tests.lab.engines import Generation
from tests.lab.images import Recipe
from tests.lab.lab import Host, Lab
from tests.lab.machines import eventually
from tests.lab.registries import Registry, mirror_options
from tests.lab.report import heading, line, table

WEB, DATABASE = "web", "database"
APPS = (WEB, DATABASE)
_SIZE_MIB = {WEB: (1.5, 0.5), DATABASE: (2.0,)}
_HOSTS = ((Generation.V20, "oak"), (Generation.V26, "ash"), (Generation.V26_CONTAINERD, "elm"), (Generation.V29, "yew"))
_LEAST_HOSTS = 3
_POLICY = {"verify": {"settle_ms": 2000}}


class DemoFailed(FleetError):
    """The demo saw something other than it promised."""


@dataclass(slots=True)
class Stage:
    """Everything that stands when the demo begins."""

    lab: Lab
    mirrors: list[Registry] = field(default_factory=list)
    """In the order in which every host asks them."""
    hosts: list[Host] = field(default_factory=list)
    centre: Centre | None = None

    @property
    def origin(self) -> Registry:
        """Docker Hub, as the machines of the lab see it."""
        return self.lab.registries["origin"]

    @property
    def fleet(self) -> Centre:
        """The centre, once it runs."""
        assert self.centre is not None
        return self.centre

    @property
    def names(self) -> dict[str, str]:
        """Address of a registry -> what the demo calls it."""
        known = [("origin", "registry-1.docker.io"), *((m.machine.name, m.host) for m in self.mirrors)]
        return {host: name for name, host in known}


def set_up(stage: Stage) -> None:
    """Start everything, with version 1 running on every host."""
    lab = stage.lab
    heading(f"a lab of real engines, on {lab.place.address(0)}/24")
    lab.origin()
    stage.mirrors = [lab.dead("north"), lab.lying("west"), lab.cache("south")]
    line("origin: Docker's registry with TLS, as registry-1.docker.io")
    line("mirrors: north refuses connections, west serves wrong bytes, south is a pull-through cache")
    for app in APPS:
        stage.origin.push(f"acme/{app}", "stable", recipe(app, "1"))
    redis, database = lab.redis(), lab.postgresql()
    stage.hosts = [lab.host(name, generation, wait=False) for generation, name in _HOSTS if generation.installed]
    if len(stage.hosts) < _LEAST_HOSTS:
        raise DemoFailed("cannot show several generations of engines; run: scripts/install-engines packages 20.10 26.1")
    lab.ready()
    stage.centre = centre = lab.centre(redis, database.url)
    centre.listen(lab.tls(centre.machine, ()))
    centre.start()
    line("Redis with TLS and ACLs, PostgreSQL, and the central processes: web, planner, inbox, beat")
    with ThreadPoolExecutor() as pool:
        list(pool.map(partial(_begin, stage), stage.hosts))
    _write_policy(stage, _POLICY)
    configure(stage)


def _begin(stage: Stage, host: Host) -> None:
    """Let version 1 run on *host*, and start its agent."""
    for app in APPS:
        host.docker("pull", "--quiet", f"acme/{app}:stable")
        host.docker("run", "--detach", "--name", app, "--restart", "unless-stopped", f"acme/{app}:stable")
    stage.fleet.start_agent(host, stage.fleet.add_host(host, engine=host.generation.value))


def configure(stage: Stage) -> None:
    """Tell each host its mirrors: the first by daemon.json, the last by Fleet's own file, the others by the policy."""
    first, *middle, last = stage.hosts
    first.configure(mirror_options(stage.mirrors))
    first.reload()
    urls = [mirror.url for mirror in stage.mirrors]
    last.machine.write("/etc/fleet/mirrors.json", json.dumps({"registries": {"docker.io": urls}}))
    for host in middle:
        _write_policy(stage, {"mirrors": [{"for": "docker.io", "url": url} for url in urls]}, "--host", host.name)


def _write_policy(stage: Stage, document: dict[str, Any], *subject: str) -> None:
    file = stage.lab.place.folder / "policy.json"
    file.write_text(json.dumps(document))
    stage.fleet.fleet("policy", "apply", "-f", file, *subject)


def show_fleet(stage: Stage) -> None:
    """Wait until the centre knows every container, and print the hosts."""
    wanted = 2 * len(stage.hosts)

    def known() -> bool:
        return len(stage.fleet.ask("ps")["containers"]) == wanted

    eventually(f"{wanted} containers in the inventory", known, within_s=300, every_s=1)
    heading("the fleet: one agent a host, and version 1 of two images on each")
    where = ["daemon.json", *["policy"] * (len(stage.hosts) - 2), "/etc/fleet/mirrors.json"]
    rows = []
    for host, source in zip(stage.hosts, where, strict=True):
        facts = host.facts()
        rows.append(
            [
                host.name,
                host.generation.release,
                facts["Version"],
                facts["ApiVersion"],
                facts["Driver"],
                source,
                host.address,
            ]
        )
    table(["HOST", "ENGINE", "VERSION", "API", "IMAGE STORE", "MIRRORS FROM", "ADDRESS"], rows)


SICK = ("3", "6")
"""Versions of the web image."""


def recipe(app: str, version: str) -> Recipe:
    """Return what a version of an image is made of; those of the web image that are ``SICK`` never get healthy."""
    health = {WEB: "failing" if version in SICK else "good"}.get(app, "")
    return Recipe(version=version, layers_mib=_SIZE_MIB[app], health=health, shares=f"{app}-{version}")
