"""``make demo``: the main job on real engines, from a newer image in the registry to the history of what was done.

Three engines of different generations (four where engine 29 is there), an origin that is Docker Hub to them, three mirrors
(one dead, one that serves wrong bytes, one good), Redis with TLS and ACLs, PostgreSQL, the central processes, and one
agent on each host, all as separate processes. Each claim that is printed is checked, and a wrong one ends the demo.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from fleet.errors import FleetError
from tests.lab.centre import Centre
from tests.lab.engines import Generation
from tests.lab.images import Recipe
from tests.lab.lab import Host, Lab
from tests.lab.machines import eventually
from tests.lab.registries import DockerRegistry, Registry, mirror_options
from tests.lab.report import heading, history, line, named, table

WEB, DATABASE = "web", "database"
_SIZE_MIB = {WEB: (1.5, 0.5), DATABASE: (2.0,)}
_HOSTS = ((Generation.V20, "oak"), (Generation.V26, "ash"), (Generation.V26_CONTAINERD, "elm"), (Generation.V29, "yew"))
_POLICY = {"verify": {"settle_ms": 2000}}


class DemoFailed(FleetError):
    """The demo saw something other than it promised."""


@dataclass(slots=True)
class Stage:
    """Everything that stands when the demo begins."""

    lab: Lab
    origin: DockerRegistry
    mirrors: list[Registry]
    """In the order in which every host asks them."""
    hosts: list[Host] = field(default_factory=list)
    centre: Centre | None = None

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


def main() -> int:
    """Run the demo; return the exit code."""
    if os.geteuid() != 0:
        print("cannot run the demo without root: it makes network namespaces; try: sudo make demo", file=sys.stderr)
        return 2
    try:
        with Lab() as lab:
            stage = _set_up(lab)
            try:
                _play(stage)
            except Exception:
                _show_logs(stage)
                raise
    except FleetError as error:
        print(f"\nthe demo failed: {error}", file=sys.stderr)
        return 1
    heading("done: everything above was checked against the engines and the registries' own logs")
    return 0


def _play(stage: Stage) -> None:
    _show_fleet(stage)
    first = _new_version(stage, "2")
    with _round(stage, "first round: the good mirror is the third"):
        _update_by_schedule(stage, stage.hosts[0])
        _update_by_hand(stage, stage.hosts[1], stage.hosts[2:])
    _check_round(stage, first, "2", good=2)
    _roll_back(stage)
    _move_mirrors(stage)
    second = _new_version(stage, "4")
    with _round(stage, "second round: the good mirror is the first"):
        _update_all(stage)
    _check_round(stage, second, "4", good=0)


# --- what stands before anything happens ---------------------------------------------------------------------------


def _set_up(lab: Lab) -> Stage:
    heading(f"a lab of real engines, on {lab.place.address(0)}/24")
    origin = lab.origin()
    stage = Stage(lab, origin, [lab.dead("north"), lab.lying("west"), lab.cache("south")])
    line("origin: Docker's registry with TLS, as registry-1.docker.io")
    line("mirrors: north refuses connections, west serves wrong bytes, south is a pull-through cache")
    for app in (WEB, DATABASE):
        origin.push(f"acme/{app}", "stable", _recipe(app, "1"))
    redis, database = lab.redis(), lab.postgresql()
    generations = [(generation, name) for generation, name in _HOSTS if generation.installed]
    # The first host's mirrors stand in its daemon.json, as most people have them.
    stage.hosts = [
        lab.host(name, generation, options=mirror_options(stage.mirrors) if number == 0 else {}, wait=False)
        for number, (generation, name) in enumerate(generations)
    ]
    lab.ready()
    stage.centre = centre = lab.centre(redis, database.url)
    centre.start()
    line("Redis with TLS and ACLs, PostgreSQL, and the central processes: web, planner, inbox, beat")
    for host in stage.hosts:
        _begin(stage, host)
    _write_policies(stage)
    return stage


def _begin(stage: Stage, host: Host) -> None:
    """Let version 1 run on *host*, and start its agent."""
    for app in (WEB, DATABASE):
        host.docker("pull", "--quiet", f"acme/{app}:stable")
        host.docker("run", "--detach", "--name", app, "--restart", "unless-stopped", f"acme/{app}:stable")
    if host is stage.hosts[-1] and len(stage.hosts) > 1:
        host.machine.write("/etc/fleet/mirrors.json", json.dumps({"registries": {"docker.io": _urls(stage)}}))
    stage.fleet.start_agent(host, stage.fleet.add_host(host, engine=host.generation.value))


def _write_policies(stage: Stage) -> None:
    """Let the hosts in the middle have their mirrors from the policy; first and last have them in files of their own."""
    _write_policy(stage, _POLICY)
    for host in stage.hosts[1:-1]:
        rules = [{"for": "docker.io", "url": url} for url in _urls(stage)]
        _write_policy(stage, {"mirrors": rules}, "--host", host.name)


def _write_policy(stage: Stage, document: dict[str, Any], *subject: str) -> None:
    file = stage.lab.place.folder / "policy.json"
    file.write_text(json.dumps(document))
    stage.fleet.fleet("policy", "apply", "-f", file, *subject)


def _show_fleet(stage: Stage) -> None:
    wanted = 2 * len(stage.hosts)
    eventually(
        f"{wanted} containers in the inventory", lambda: len(stage.fleet.ask("ps")["containers"]) == wanted, within_s=60
    )
    heading("the fleet: one agent a host, and version 1 of two images on each")
    where = ["daemon.json", *["policy"] * (len(stage.hosts) - 2), "/etc/fleet/mirrors.json"]
    rows = []
    for host, source in zip(stage.hosts, where, strict=True):
        facts = host.facts()
        rows.append([host.name, facts["Version"], facts["ApiVersion"], facts["Driver"], source, host.address])
    table(["HOST", "ENGINE", "API", "IMAGE STORE", "MIRRORS FROM", "ADDRESS"], rows)


# --- what happens ------------------------------------------------------------------------------------------------------


def _new_version(stage: Stage, version: str) -> dict[str, str]:
    """Push one more version of both images; return what their tags have now."""
    heading(f"version {version} is pushed to the origin")
    pushed = {app: str(stage.origin.push(f"acme/{app}", "stable", _recipe(app, version))) for app in (WEB, DATABASE)}
    table(["IMAGE", "DIGEST"], [[f"acme/{app}:stable", digest] for app, digest in pushed.items()])
    return pushed


def _update_by_schedule(stage: Stage, host: Host) -> None:
    heading(f"beat's schedule updates {host.name}: every minute, by cron")
    every_minute = ["--cron", "* * * * *", "--action", "apply", "--host", host.name]
    stage.fleet.fleet("schedule", "create", "nightly", *every_minute)
    eventually(f"the update of {host.name} by the schedule", lambda: _done(stage, host, 2), within_s=120, every_s=0.5)
    stage.fleet.fleet("schedule", "rm", "nightly")


def _update_by_hand(stage: Stage, host: Host, rest: Sequence[Host]) -> None:
    heading(f"a person updates {host.name}, and the rest by a plan")
    _print(stage.fleet.fleet("outdated"))
    _print(stage.fleet.fleet("update", host.name))
    if rest:
        plan = stage.lab.place.folder / "plan.json"
        chosen = [part for one in rest for part in ("--host", one.name)]
        _print(stage.fleet.fleet("plan", "--out", plan, *chosen))
        _print(stage.fleet.fleet("apply", plan))


def _update_all(stage: Stage) -> None:
    heading("a person updates the whole fleet by one plan")
    plan = stage.lab.place.folder / "plan.json"
    stage.fleet.fleet("plan", "--out", plan)
    _print(stage.fleet.fleet("apply", plan))


def _roll_back(stage: Stage) -> None:
    host = stage.hosts[-1]
    heading(f"version 3 of {WEB} fails its HEALTHCHECK: {host.name} goes back by itself")
    before = host.docker("inspect", "--format", "{{.Id}}", WEB)
    stage.origin.push(f"acme/{WEB}", "stable", _recipe(WEB, "3"))
    _print(stage.fleet.fleet("update", host.name, WEB, check=False))
    told = [row for row in _outcomes(stage, "--host", host.name) if row["update"]["result"] == "rolled_back"]
    _check(len(told) == 1, "the history has one outcome that was rolled back")
    line(f"the history says why: {told[0]['update']['reason']}")
    _check(host.docker("inspect", "--format", "{{.Id}}", WEB) == before, f"the old container itself runs again ({WEB})")
    _check(_version(host, WEB) == "2", "with version 2")
    left = host.docker("ps", "--all", "--format", "{{.Names}}").split()
    _check(sorted(left) == [DATABASE, WEB], "and nothing of the new one is left")


def _move_mirrors(stage: Stage) -> None:
    heading("the mirrors change places: north becomes the good one, west dies, south lies")
    lab = stage.lab
    north, west, south = stage.mirrors
    for mirror in stage.mirrors:
        mirror.stop()
    stage.mirrors = [
        lab.cache("north", on=north.machine),
        lab.dead("west", on=west.machine),
        lab.lying("south", on=south.machine),
    ]


# --- what came of it -----------------------------------------------------------------------------------------------------


@contextmanager
def _round(stage: Stage, title: str) -> Iterator[None]:
    before = {row["update"]["id"] for row in _outcomes(stage)}
    yield
    heading(f"the history of the {title}")
    fresh = [row for row in _outcomes(stage) if row["update"]["id"] not in before]
    history(sorted(fresh, key=lambda row: (row["update"]["host"], row["update"]["container"])), stage.names)


def _check_round(stage: Stage, digests: dict[str, str], version: str, *, good: int) -> None:
    """Compare what the history says with what engines and registries say."""
    heading("the history against the registries' own access logs")
    served = stage.mirrors[good]
    rows = []
    for host in stage.hosts:
        for app in (WEB, DATABASE):
            told = _told(stage, host, app, digests[app])
            layers = _layers(stage, app, digests[app])
            logged = _logged(served, layers)
            rows.append([host.name, app, named(told["pull"]["mirror"], stage.names), str(told["pull"]["bytes"])])
            _expect(_version(host, app) == version, f"{host.name} runs version {version} of {app}")
            _expect(served.host in told["pull"]["mirror"], f"the history of {host.name} {app} names {served.host}")
            _expect(host.address in logged, f"{served.machine.name}'s log has the layers of {app} for {host.name}")
            _expect(host.address not in _logged(stage.origin, layers), f"the origin sent {host.name} no layer")
    table(["HOST", "CONTAINER", "MIRROR IN THE HISTORY", "BYTES"], rows)
    line(f"each of these layers is in {served.machine.name}'s own log for that host, and none is in the origin's")


def _told(stage: Stage, host: Host, app: str, digest: str) -> Any:
    found = _outcomes(stage, "--host", host.name, "--container", app, "--digest", digest, "--outcome", "updated")
    found = [row for row in found if row["update"]["new_digest"] == digest]
    _expect(len(found) == 1, f"the history has exactly one update of {app} on {host.name} to {digest[:19]}")
    _expect(bool(found[0]["pull"]), f"the update of {app} on {host.name} has its pull")
    return found[0]


def _layers(stage: Stage, app: str, digest: str) -> set[str]:
    """Return the digests of the layers that only this version has: all but busybox, which engines have already."""
    manifest = stage.origin.get_json(f"/v2/acme/{app}/manifests/{digest}")
    return {row["digest"] for row in manifest["layers"][1:]}


def _logged(registry: Registry, layers: set[str]) -> set[str]:
    """Return the addresses that the registry sent one of *layers* to, by its own log."""
    return {row.client for row in registry.asked("blobs") if row.place.tail in layers and row.sent}


def _outcomes(stage: Stage, *query: str) -> list[Any]:
    rows = stage.fleet.ask("history", "ls", "--limit", "500", *query)["outcomes"]
    return [stage.fleet.ask("history", "show", row["id"]) for row in rows]


def _done(stage: Stage, host: Host, count: int) -> bool:
    rows = stage.fleet.ask("history", "ls", "--host", host.name)["outcomes"]
    failed = [row for row in rows if row["result"] not in ("updated", "already_current")]
    _expect(not failed, f"no update of {host.name} fails: {failed}")
    return len([row for row in rows if row["result"] == "updated"]) >= count


def _version(host: Host, app: str) -> str:
    template = '{{index .Config.Labels "org.opencontainers.image.version"}} {{.State.Running}}'
    version, _, running = host.docker("inspect", "--format", template, app).partition(" ")
    return version if running == "true" else f"{version} (not running)"


def _recipe(app: str, version: str) -> Recipe:
    health = {WEB: "failing" if version == "3" else "good"}.get(app, "")
    return Recipe(version=version, layers_mib=_SIZE_MIB[app], health=health, shares=f"{app}-{version}")


def _urls(stage: Stage) -> list[str]:
    return [mirror.url for mirror in stage.mirrors]


def _print(text: str) -> None:
    for row in text.splitlines():
        line(row)


def _check(true: bool, what: str) -> None:
    _expect(true, what)
    line(f"checked: {what}")


def _expect(true: bool, what: str) -> None:
    if not true:
        raise DemoFailed(f"cannot confirm that {what}")


def _show_logs(stage: Stage) -> None:
    """Print the end of every log, for whoever must find out what went wrong."""
    logs: list[Callable[[], str]] = []
    if stage.centre is not None:
        running = [stage.centre.controller, *stage.centre.agents.values()]
        logs = [one.tail for one in running if one is not None]
    for tail in logs:
        print("\n" + tail()[-4000:], file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
