"""What the command line of the host's Docker daemon says about mirrors, where its process can be seen."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fleet.clock import Clock

PROC = Path("/proc")
KEPT_S = 60.0
"""A daemon's flags change only when it is started anew, and looking at every process costs milliseconds."""
_DAEMON = "dockerd"
_USUAL = "/run/docker.sock"
_VALUES = ("registry-mirror", "insecure-registry", "config-file", "host")
_SHORT_HOST = "-H"


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonFlags:
    """The flags of one daemon that are about mirrors; made without arguments, none."""

    mirrors: tuple[str, ...] = ()
    insecure: tuple[str, ...] = ()
    config_file: str = ""
    """Where its ``daemon.json`` is, if not at the usual place."""
    sockets: tuple[str, ...] = ()
    """Where it listens, as far as the flags say it: ``unix:///run/docker.sock``, ``fd://``."""


NO_FLAGS = DaemonFlags()


def parse_flags(arguments: Sequence[str]) -> DaemonFlags:
    """Return what *arguments*, a daemon's command line with its own name first, say about mirrors (pure)."""
    found: dict[str, list[str]] = {name: [] for name in _VALUES}
    rest = iter(arguments[1:])
    for argument in rest:
        name, equals, value = _split(argument)
        if name in found:
            found[name].append(value if equals else next(rest, ""))
    last = found["config-file"][-1:]
    return DaemonFlags(
        mirrors=tuple(found["registry-mirror"]),
        insecure=tuple(found["insecure-registry"]),
        config_file=last[0] if last else "",
        sockets=tuple(found["host"]),
    )


def find_flags(engine_url: str | None, *, proc: Path = PROC) -> DaemonFlags | None:
    """Return the flags of the daemon that serves *engine_url* (None: the usual socket) on this machine.

    None where none can be seen: from a container, on another machine, without /proc, or where several would fit.
    """
    wanted = _socket(engine_url or f"unix:///var{_USUAL}")
    if not wanted:
        return None
    fitting = [flags for flags, usual in _daemons(proc) if wanted in _sockets(flags, usual)]
    return fitting[0] if len(fitting) == 1 else None


def _split(argument: str) -> tuple[str, str, str]:
    if argument.startswith(_SHORT_HOST):
        value = argument.removeprefix(_SHORT_HOST).removeprefix("=")
        return "host", "=" if value else "", value
    name, equals, value = argument.partition("=")
    return (name[2:] if name.startswith("--") else ""), equals, value


def _daemons(proc: Path) -> Iterable[tuple[DaemonFlags, str]]:
    """Yield the flags of each daemon that runs, and the socket that is its own where the flags name none."""
    for process in proc.iterdir() if proc.is_dir() else ():
        try:
            if not process.name.isdigit() or (process / "comm").read_text().strip() != _DAEMON:
                continue
            arguments = (process / "cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0")
            owner = process.stat().st_uid
        except OSError:
            continue  # it ended meanwhile, or is not ours to look at
        yield parse_flags(arguments), _USUAL if owner == 0 else f"/run/user/{owner}/docker.sock"


def _sockets(flags: DaemonFlags, usual: str) -> frozenset[str]:
    named = [_socket(socket) or usual for socket in flags.sockets if "tcp://" not in socket]
    return frozenset(named or [usual])


def _socket(url: str) -> str:
    """Return the path of a unix socket, the same however it is spelled; empty for anything else."""
    scheme, _, path = url.partition("://")
    if scheme != "unix" or not path:
        return ""
    return os.path.normpath(path).removeprefix("/var") if path.startswith("/var/run/") else os.path.normpath(path)


class FlagFinder:
    """Finds the flags of the daemon of one engine, and remembers them for a while; safe to use from several threads."""

    def __init__(self, engine_url: str | None, *, clock: Clock, proc: Path = PROC) -> None:
        """Take where the engine listens; look at nothing yet."""
        self._engine_url, self._clock, self._proc = engine_url, clock, proc
        self._kept: tuple[float, DaemonFlags | None] | None = None

    def __call__(self) -> DaemonFlags | None:
        """Return them, None where none can be seen."""
        now = self._clock.monotonic()
        if self._kept is None or now - self._kept[0] > KEPT_S:
            self._kept = now, find_flags(self._engine_url, proc=self._proc)
        return self._kept[1]
