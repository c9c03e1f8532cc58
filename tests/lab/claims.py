"""What the demo claims: the history, compared with what the engines run and what the registries wrote down themselves."""

from collections.abc import Mapping, Sequence
from typing import Any

from tests.lab.lab import Host
from tests.lab.registries import Registry
from tests.lab.report import heading, history, line, named, table
from tests.lab.stage import APPS, DemoFailed, Stage


def expect(true: bool, what: str) -> None:
    """End the demo where something is other than it says."""
    if not true:
        raise DemoFailed(f"cannot confirm that {what}")


def check(true: bool, what: str) -> None:
    """Print what was checked, where it is so."""
    expect(true, what)
    line(f"checked: {what}")


def outcomes(stage: Stage, *query: str) -> list[Any]:
    """Return what ``fleet history show`` tells of each outcome that fits *query*."""
    rows = stage.fleet.ask("history", "ls", "--limit", "500", *query)["outcomes"]
    return [stage.fleet.ask("history", "show", row["id"]) for row in rows]


def running_version(host: Host, app: str) -> str:
    """Return the version that an engine runs, by its own word."""
    template = '{{index .Config.Labels "org.opencontainers.image.version"}} {{.State.Running}}'
    version, _, running = host.docker("inspect", "--format", template, app).partition(" ")
    return version if running == "true" else f"{version} (not running)"


def show_round(stage: Stage, title: str, digests: Mapping[str, str], version: str, *, good: Registry) -> None:
    """Print what the history says of one round, then what the registries say of the same updates."""
    heading(f"the history of the {title}")
    found = [row for digest in digests.values() for row in outcomes(stage, "--digest", digest)]
    told = [row for row in found if row["update"]["new_digest"] in digests.values()]
    told.sort(key=lambda row: (row["update"]["host"], row["update"]["container"]))
    history(told, stage.names)
    heading(
        "the same updates in the registries' own access logs: bytes that each sent to the host, of this digest alone"
    )
    rows = [
        _compared(stage, host, app, digests[app], [row for row in told if _is_of(row, host, app)], good)
        for app in APPS
        for host in stage.hosts
    ]
    names = [registry.machine.name for registry in (*stage.mirrors, stage.origin)]
    table(["HOST", "CONTAINER", "MIRROR IN THE HISTORY", "BYTES", *(f"LOG OF {name}" for name in names)], rows)
    for host in stage.hosts:
        for app in APPS:
            expect(running_version(host, app) == version, f"{host.name} runs version {version} of {app}")
    line(
        f"checked: each update is there once; each went through {good.machine.name}, in the history and in its own log;"
    )
    line("checked: the bytes are the same in both; the origin sent no layer; every engine runs the new version")


def _compared(stage: Stage, host: Host, app: str, digest: str, told: Sequence[Any], good: Registry) -> list[str]:
    """Return one row of the comparison, after the claims that it shows were checked."""
    where = f"{app} on {host.name}"
    expect(len(told) == 1 and bool(told[0]["pull"]), f"the history has {where} exactly once, with its pull")
    pull = told[0]["pull"]
    expect(good.host in pull["mirror"], f"the history of {where} names {good.machine.name}")
    manifest = stage.origin.get_json(f"/v2/acme/{app}/manifests/{digest}")
    blobs = [manifest["config"], *manifest["layers"]]
    fetched = {row["digest"]: row["size"] for row in blobs if good.sent(host.address, {row["digest"]})}
    expect(len(fetched) >= len(blobs) - 1, f"{good.machine.name} sent {host.name} every layer of {app} that is new")
    by_good = next(row["bytes"] for row in pull["attempts"] if row["mirror"] == pull["mirror"])
    sent = {r.machine.name: r.sent(host.address, {*fetched, digest}) for r in (*stage.mirrors, stage.origin)}
    expect(sent[good.machine.name] == by_good, f"history and log of {good.machine.name} agree on the bytes of {where}")
    expect(stage.origin.sent(host.address, fetched) == 0, f"the origin sent no layer of {where}")
    return [host.name, app, named(pull["mirror"], stage.names), f"{by_good:,}", *(f"{n:,}" for n in sent.values())]


def _is_of(row: Any, host: Host, app: str) -> bool:
    return bool(row["update"]["host"] == host.name and row["update"]["container"] == app)
