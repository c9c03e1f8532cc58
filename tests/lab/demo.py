"""``make demo``: the main job on real engines, from a newer image in the registry to the history of what was done.

Three engines of different generations (four where engine 29 is there), an origin that is Docker Hub to them, three mirrors
(one dead, one that serves wrong bytes, one good), Redis with TLS and ACLs, PostgreSQL, the central processes, and one
agent on each host, all as separate processes. Each claim that is printed is checked, and a wrong one ends the demo.
"""

import json
import os
import sys
from collections.abc import Callable, Sequence
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
from tests.lab.report import heading, history, line, table

WEB, DATABASE = "web", "database"
SCHEDULE = "nightly"
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


def main() -> int:
    """Run the demo; return the exit code."""
    if os.geteuid() != 0:
        print("cannot run the demo without root: it makes network namespaces; try: sudo make demo", file=sys.stderr)
        return 2
    try:
        with Lab() as lab:
            stage = Stage(lab)
            try:
                _set_up(stage)
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
    _set_schedule(stage, stage.hosts[0])
    _update_by_hand(stage, stage.hosts[1], stage.hosts[2:])
    _await_schedule(stage, stage.hosts[0])
    _show_round(stage, "first round: the good mirror is the third", first, "2", good=2)
    _roll_back(stage)
    _other_mirrors(stage)
    second = _new_version(stage, "4")
    _update_all(stage)
    _show_round(stage, "second round: the good mirror is the second", second, "4", good=1)


# --- what stands before anything happens ---------------------------------------------------------------------------


def _set_up(stage: Stage) -> None:
    lab = stage.lab
    heading(f"a lab of real engines, on {lab.place.address(0)}/24")
    lab.origin()
    stage.mirrors = [lab.dead("north"), lab.lying("west"), lab.cache("south")]
    line("origin: Docker's registry with TLS, as registry-1.docker.io")
    line("mirrors: north refuses connections, west serves wrong bytes, south is a pull-through cache")
    for app in (WEB, DATABASE):
        stage.origin.push(f"acme/{app}", "stable", _recipe(app, "1"))
    redis, database = lab.redis(), lab.postgresql()
    stage.hosts = [lab.host(name, generation, wait=False) for generation, name in _HOSTS if generation.installed]
    if len(stage.hosts) < _LEAST_HOSTS:
        raise DemoFailed("cannot show several generations of engines; run: scripts/install-engines packages 20.10 26.1")
    lab.ready()
    stage.centre = centre = lab.centre(redis, database.url)
    centre.start()
    line("Redis with TLS and ACLs, PostgreSQL, and the central processes: web, planner, inbox, beat")
    with ThreadPoolExecutor() as pool:
        list(pool.map(partial(_begin, stage), stage.hosts))
    _write_policy(stage, _POLICY)
    _configure(stage)


def _begin(stage: Stage, host: Host) -> None:
    """Let version 1 run on *host*, and start its agent."""
    for app in (WEB, DATABASE):
        host.docker("pull", "--quiet", f"acme/{app}:stable")
        host.docker("run", "--detach", "--name", app, "--restart", "unless-stopped", f"acme/{app}:stable")
    stage.fleet.start_agent(host, stage.fleet.add_host(host, engine=host.generation.value))


def _configure(stage: Stage) -> None:
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


def _show_fleet(stage: Stage) -> None:
    wanted = 2 * len(stage.hosts)

    def known() -> bool:
        return len(stage.fleet.ask("ps")["containers"]) == wanted

    eventually(f"{wanted} containers in the inventory", known, within_s=90, every_s=1)
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


# --- what happens ------------------------------------------------------------------------------------------------------


def _new_version(stage: Stage, version: str) -> dict[str, str]:
    """Push one more version of both images; return what their tags have now."""
    heading(f"version {version} is pushed to the origin")
    pushed = {app: str(stage.origin.push(f"acme/{app}", "stable", _recipe(app, version))) for app in (WEB, DATABASE)}
    table(["IMAGE", "DIGEST"], [[f"acme/{app}:stable", digest] for app, digest in pushed.items()])
    return pushed


def _set_schedule(stage: Stage, host: Host) -> None:
    heading(f"a schedule is to update {host.name}, every minute by cron")
    every_minute = ["--cron", "* * * * *", "--action", "apply", "--host", host.name]
    _print(stage.fleet.fleet("schedule", "create", SCHEDULE, *every_minute))


def _await_schedule(stage: Stage, host: Host) -> None:
    heading(f"beat's schedule updates {host.name}")
    eventually(f"the update of {host.name} by the schedule", lambda: _done(stage, host), within_s=150, every_s=2)
    _print(stage.fleet.fleet("schedule", "show", SCHEDULE))
    stage.fleet.fleet("schedule", "rm", SCHEDULE)


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


def _other_mirrors(stage: Stage) -> None:
    heading("every host gets three other mirrors: hill serves wrong bytes, lake is good, dale refuses connections")
    stage.mirrors = [stage.lab.lying("hill"), stage.lab.cache("lake"), stage.lab.dead("dale")]
    _configure(stage)


# --- what came of it -----------------------------------------------------------------------------------------------------


def _show_round(stage: Stage, title: str, digests: dict[str, str], version: str, *, good: int) -> None:
    """Print what the history says of one round, and compare it with what engines and registries say."""
    heading(f"the history of the {title}")
    known = set(digests.values())
    told = [row for row in _outcomes(stage) if row["update"]["new_digest"] in known]
    told.sort(key=lambda row: (row["update"]["host"], row["update"]["container"]))
    history(told, stage.names)
    heading("the history against the registries' own access logs")
    served = stage.mirrors[good]
    for app in (WEB, DATABASE):
        layers = _layers(stage, app, digests[app])
        to = {"mirror": _logged(served, layers), "origin": _logged(stage.origin, layers)}
        for host in stage.hosts:
            _check_update(host, app, version, served, [row["pull"] for row in told if _is_of(row, host, app)])
            _expect(host.address in to["mirror"], f"{served.machine.name} wrote down that it sent {app} to {host.name}")
            _expect(host.address not in to["origin"], f"the origin sent no layer of {app} to {host.name}")
    line(f"checked: {len(told)} updates, each once, each through {served.machine.name}, as the history has it;")
    line(f"checked: {served.machine.name}'s own log has these layers for every host, and the origin's for none")


def _check_update(host: Host, app: str, version: str, served: Registry, pulls: Sequence[Any]) -> None:
    _expect(len(pulls) == 1 and bool(pulls[0]), f"the history has {app} on {host.name} exactly once, with its pull")
    _expect(served.host in pulls[0]["mirror"], f"the history of {app} on {host.name} names {served.machine.name}")
    _expect(_version(host, app) == version, f"{host.name} runs version {version} of {app}")


def _is_of(row: Any, host: Host, app: str) -> bool:
    return bool(row["update"]["host"] == host.name and row["update"]["container"] == app)


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


def _done(stage: Stage, host: Host) -> bool:
    """Tell whether both containers of *host* were updated by the schedule."""
    rows = stage.fleet.ask("history", "ls", "--host", host.name, "--by", f"schedule:{SCHEDULE}")["outcomes"]
    failed = [row for row in rows if row["result"] not in ("updated", "already_current")]
    _expect(not failed, f"no update of {host.name} fails: {failed}")
    return {row["container"] for row in rows if row["result"] == "updated"} == {WEB, DATABASE}


def _version(host: Host, app: str) -> str:
    template = '{{index .Config.Labels "org.opencontainers.image.version"}} {{.State.Running}}'
    version, _, running = host.docker("inspect", "--format", template, app).partition(" ")
    return version if running == "true" else f"{version} (not running)"


def _recipe(app: str, version: str) -> Recipe:
    health = {WEB: "failing" if version == "3" else "good"}.get(app, "")
    return Recipe(version=version, layers_mib=_SIZE_MIB[app], health=health, shares=f"{app}-{version}")


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
