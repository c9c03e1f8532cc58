"""Volumes of a container: where it may write, and how what nothing names any more is carried over. Pure."""

from collections.abc import Iterable, Mapping
from copy import deepcopy
from posixpath import normpath
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


def written(inspect: Inspect) -> frozenset[str]:
    """Return the volumes by name, and the files and folders of the host, to which a container may write."""
    mounts = [mount for mount in inspect.get("Mounts") or () if mount.get("RW", True)]
    return frozenset(filter(None, (_place(mount)[0] for mount in mounts)))


def carried_binds(old: Inspect, borrowed: frozenset[tuple[str, str]]) -> list[str]:
    """Return ``source:destination[:options]`` for what is mounted in *old* and what nothing of it names: anonymous volumes, and
    what others lent it. *borrowed* is what they lend still, as source and destination.
    """
    stated, lends = _stated(old), bool(old["HostConfig"].get("VolumesFrom"))
    carried = []
    for mount in sorted(old.get("Mounts") or (), key=lambda mount: str(mount["Destination"])):
        source, destination = _place(mount)
        nameless = mount.get("Type") == "volume" or lends
        if not (source and nameless) or (source, destination) in borrowed or normpath(destination) in stated:
            continue
        propagation = str(mount.get("Propagation") or "") if mount.get("Type") == "bind" else ""
        options = [option for option in ("" if mount.get("RW", True) else "ro", propagation) if option]
        carried.append(":".join(filter(None, (source, destination, ",".join(options)))))
    return carried


def still_lends(lender: Inspect | None, old: Inspect) -> bool:
    """Tell whether *lender*, which *old* names in VolumesFrom, lends what *old* has of it.

    It may be gone, or be another one of the same name with other volumes: the engine looks at it anew whenever a container
    is created, and what it lends now is then not what *old* had.
    """
    stated, places = _stated(old), {_place(mount) for mount in old.get("Mounts") or ()}
    return lender is not None and all(each in places for each in lent([lender]) if normpath(each[1]) not in stated)


def lent(lenders: Iterable[Inspect]) -> frozenset[tuple[str, str]]:
    """Return source and destination of all that *lenders* lend."""
    return frozenset(_place(mount) for lender in lenders for mount in lender.get("Mounts") or ())


def named_mounts(old: Inspect) -> list[dict[str, Any]]:
    """Return HostConfig.Mounts with the volume's name in every volume that the user left nameless."""
    names = {normpath(str(mount["Destination"])): mount.get("Name") for mount in old.get("Mounts") or ()}
    mounts = deepcopy(old["HostConfig"].get("Mounts") or [])
    for mount in mounts:
        name = names.get(normpath(str(mount["Target"])))
        if mount.get("Type") == "volume" and not mount.get("Source") and name:
            mount["Source"] = name
    return list(mounts)


def _stated(old: Inspect) -> frozenset[str]:
    """Return where *old* says itself what is mounted; engines keep the words as they were written, with every slash."""
    host = old["HostConfig"]
    binds = ([*bind.split(":"), ""][1] for bind in host.get("Binds") or ())
    return frozenset(map(normpath, (*binds, *(str(mount["Target"]) for mount in host.get("Mounts") or ()))))


def _place(mount: Mapping[str, Any]) -> tuple[str, str]:
    """Return by what a bind would name the source of a mount, empty for what none can, and its destination."""
    field = {"volume": "Name", "bind": "Source"}.get(str(mount.get("Type")), "")
    return str(mount.get(field) or ""), str(mount["Destination"])
