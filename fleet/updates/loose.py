"""Loose files: what stands only in a container's writable layer (``docker cp``, compose ``configs:``), and would be lost.

The engine's diff tells of them. What the mounts cover is no part of it, and what a program writes where files come and
go anyhow is not counted.
"""

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from fleet.engine.protocol import Engine, Inspect

_PLACES = "dev proc run sbin/docker-init sys tmp var/cache var/lock var/log var/run var/tmp"
FLEETING = tuple(f"/{place}" for place in _PLACES.split())
"""Where nobody expects a file to stay; and the place where the engine puts the init of ``--init``."""
MOST_TOLD = 20
"""How many loose files are told by name."""
LARGEST_COPY_BYTES = 64 * 2**20
"""What may be copied of one container; more than that is data, and belongs into a volume."""


def loose_files(engine: Engine, inspect: Inspect) -> tuple[str, ...]:
    """Return the loose files of a container, sorted."""
    return select(engine.changes(inspect["Id"]), inspect)


def select(changes: Mapping[str, bool], inspect: Inspect) -> tuple[str, ...]:
    """Return which of the changed paths (path -> whether it was added) are loose files. Pure.

    A folder that was added stands for all that is in it, unless a mount is in it too.
    """
    covered = [PurePosixPath(str(mount["Destination"])) for mount in inspect.get("Mounts") or ()]
    covered += [PurePosixPath(place) for place in (*FLEETING, *(inspect["HostConfig"].get("Tmpfs") or {}))]
    on_the_way = {parent for place in covered for parent in place.parents}
    paths = {PurePosixPath(path): added for path, added in changes.items()}
    parents = {parent for path in paths for parent in path.parents}
    found: list[PurePosixPath] = []
    for path in sorted(paths):
        whole = paths[path] and path not in on_the_way
        if (whole or path not in (parents | on_the_way)) and not _within(path, [*covered, *found]):
            found.append(path)
    return tuple(map(str, found))


def told(paths: Sequence[str], *, copied: bool) -> tuple[str, ...]:
    """Return the lines of the config diff about *paths*."""
    end = "copied" if copied else "not carried over"
    lines = [f"Files.{path}: only in the writable layer -> {end}" for path in paths[:MOST_TOLD]]
    more = len(paths) - MOST_TOLD
    return (*lines, f"Files: {more} more of them -> {end}") if more > 0 else tuple(lines)


def copy_files(engine: Engine, paths: Sequence[str], old: str, new: str) -> None:
    """Copy *paths* from one container into another; raise EngineError where that fails, or they are too many."""
    left = LARGEST_COPY_BYTES
    for path in paths:
        packed = engine.read_files(old, path, most_bytes=left)
        left -= len(packed)
        engine.write_files(new, str(PurePosixPath(path).parent), packed)


def _within(path: PurePosixPath, covered: Sequence[PurePosixPath]) -> bool:
    return any(path == place or place in path.parents for place in covered)
