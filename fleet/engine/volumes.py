"""Volumes of a container: where it may write, and how anonymous ones are carried over by their name. Pure."""

from copy import deepcopy
from typing import Any

from fleet.engine.protocol import Inspect


def writable(inspect: Inspect) -> tuple[str, ...]:
    """Return the paths in a container at which it may write to a volume, or to a file or folder of its host."""
    mounts = inspect.get("Mounts") or ()
    return tuple(
        str(mount["Destination"])
        for mount in mounts
        if mount.get("Type") in ("volume", "bind") and mount.get("RW", True)
    )


def carried_binds(old: Inspect, borrowed: frozenset[tuple[str, str]]) -> list[str]:
    """Return ``volume:destination[:ro]`` for every volume that nothing of *old* names; *borrowed* are others'."""
    stated = {_bind_destination(bind) for bind in old["HostConfig"].get("Binds") or ()}
    stated |= {str(mount["Target"]).rstrip("/") for mount in old["HostConfig"].get("Mounts") or ()}
    carried = []
    for mount in sorted(old.get("Mounts") or (), key=lambda mount: str(mount["Destination"])):
        name, destination = str(mount.get("Name") or ""), str(mount["Destination"])
        if mount.get("Type") != "volume" or not name or (name, destination) in borrowed:
            continue
        if destination.rstrip("/") not in stated:
            carried.append(f"{name}:{destination}" + ("" if mount.get("RW", True) else ":ro"))
    return carried


def named_mounts(old: Inspect) -> list[dict[str, Any]]:
    """Return HostConfig.Mounts with the volume's name in every volume that the user left nameless."""
    names = {str(mount["Destination"]).rstrip("/"): mount.get("Name") for mount in old.get("Mounts") or ()}
    mounts = deepcopy(old["HostConfig"].get("Mounts") or [])
    for mount in mounts:
        name = names.get(str(mount["Target"]).rstrip("/"))
        if mount.get("Type") == "volume" and not mount.get("Source") and name:
            mount["Source"] = name
    return list(mounts)


def _bind_destination(bind: str) -> str:
    """Return the second part of ``source:destination[:options]``."""
    return [*bind.split(":"), ""][1].rstrip("/")
