"""Which mirrors a host has of its own: Fleet's file, ``daemon.json``, and what the running daemon says it uses."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fleet.errors import BadInput
from fleet.mirrors.daemon import DaemonFile, daemon_rules, plain_registry, read_daemon_file, spelling, trusted_blindly
from fleet.mirrors.endpoint import daemon_endpoint
from fleet.mirrors.fleet_file import FleetFile, read_fleet_file
from fleet.mirrors.source import MirrorRule, Provenance

FLEET_FILE = Path("/etc/fleet/mirrors.json")
DAEMON_FILES = (
    Path("/etc/docker/daemon.json"),
    Path("~/.config/docker/daemon.json"),
    Path("C:\\ProgramData\\docker\\config\\daemon.json"),
)
"""Where the Docker daemon's configuration lies on Linux, rootless, and on Windows."""
_UNCHECKED_SINCE = 28
"""Since which major version a blindly trusted mirror makes the containerd store trust Docker Hub blindly, too."""
_TLS_TO_PLAIN = 26
"""The major version whose containerd store speaks TLS to a mirror that is written as http (seen on 26.1)."""
_ALWAYS_INSECURE = frozenset({"127.0.0.0/8", "::1/128"})


class DaemonFacts(Protocol):
    """What ``GET /info`` tells of mirrors; the engine's facts are such."""

    @property
    def version(self) -> str:
        """The engine's version."""
        ...

    @property
    def containerd_store(self) -> bool:
        """Whether images live in the containerd store."""
        ...

    @property
    def mirrors(self) -> tuple[str, ...]:
        """``RegistryConfig.Mirrors``."""
        ...

    @property
    def insecure_registries(self) -> tuple[str, ...]:
        """Names and networks whose certificate the daemon does not check."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class HostMirrors:
    """The mirrors that one host has of its own, in order; made without arguments, none."""

    rules: tuple[MirrorRule, ...] = ()
    insecure: tuple[str, ...] = ()
    """Registries and networks whose certificate goes unchecked on this host."""
    problems: tuple[str, ...] = ()
    """Lines ``code: cannot ...`` for ``fleet doctor``."""


def read_host_mirrors(
    facts: DaemonFacts | None, *, daemon_files: Sequence[Path] = DAEMON_FILES, fleet_file: Path = FLEET_FILE
) -> HostMirrors:
    """Return this host's mirrors: those of Fleet's file, then of ``daemon.json``, then what the daemon adds to them.

    *facts* is what the engine says about itself, None where it cannot be asked. Nothing that the files hold is raised.
    """
    own = _fleet_file(fleet_file)
    files = [(path, file) for path in daemon_files if (file := _daemon_file(path.expanduser())) is not None]
    problems = [*own.problems, *(problem for _, file in files for problem in file.problems)]
    insecure = [*own.insecure, *(name for _, file in files for name in file.insecure)]
    rules = [*own.rules, *(rule for _, file in files for rule in file.rules)]
    if facts is not None:
        told = tuple(plain_registry(name) for name in facts.insecure_registries)
        insecure += [name for name in told if name not in _ALWAYS_INSECURE]
        known = {(rule.for_registry, rule.endpoint.host, rule.endpoint.base_path) for rule in rules}
        reported = daemon_rules(facts.mirrors, told, "docker info", Provenance.DAEMON, problems)
        rules += [r for r in reported if (r.for_registry, r.endpoint.host, r.endpoint.base_path) not in known]
        problems += [*_pending(facts, files), *_unchecked_hub(facts), *_asked_over_tls(facts)]
    return HostMirrors(
        rules=tuple(rules), insecure=tuple(dict.fromkeys(insecure)), problems=tuple(dict.fromkeys(problems))
    )


def _fleet_file(path: Path) -> FleetFile:
    try:
        return read_fleet_file(path.read_bytes(), str(path))
    except FileNotFoundError:
        return FleetFile()
    except OSError as error:
        return FleetFile(problems=(f"fleet-file-unreadable: cannot read {path}: {error.strerror}",))


def _daemon_file(path: Path) -> DaemonFile | None:
    try:
        return read_daemon_file(path.read_bytes(), str(path))
    except FileNotFoundError:
        return None
    except OSError as error:
        return DaemonFile(problems=(f"daemon-json-unreadable: cannot read {path}: {error.strerror}",))


def _pending(facts: DaemonFacts, files: Sequence[tuple[Path, DaemonFile]]) -> list[str]:
    """Tell where the daemon uses something else than its file says: it was not restarted or reloaded since."""
    used = tuple(map(spelling, facts.mirrors))
    naming = [(path, file) for path, file in files if file.mirrors is not None]
    problems = []
    if naming and all(file.mirrors != used for _, file in naming):
        path, file = naming[0]
        problems.append(
            f"daemon-mirrors-pending: cannot count on the mirrors of {path} ({_listed(file.mirrors or ())}): the daemon"
            f" uses {_listed(used)}; reload or restart it"
        )
    told = tuple(plain_registry(name) for name in facts.insecure_registries)
    missing = [name for _, file in files for name in file.insecure if not trusted_blindly(name, told)]
    if missing:
        problems.append(
            f"daemon-insecure-pending: cannot count on insecure-registries {_listed(missing)}: the daemon does not"
            " know them; reload or restart it"
        )
    return problems


def _unchecked_hub(facts: DaemonFacts) -> list[str]:
    """Tell where a mirror makes this daemon pull from Docker Hub without checking its certificate."""
    major = re.match(r"\d+", facts.version)
    if not facts.containerd_store or major is None or int(major[0]) < _UNCHECKED_SINCE:
        return []
    told = tuple(plain_registry(name) for name in facts.insecure_registries)
    blind = [url for url in facts.mirrors if _blindly(url, told)]
    if not blind:
        return []
    return [
        f"daemon-hub-unchecked: cannot trust this daemon's own pulls from Docker Hub: the mirror {_listed(blind)} makes"
        " it skip the check of Docker Hub's certificate; write hosts.toml instead, or name the mirror in Fleet alone"
    ]


def _asked_over_tls(facts: DaemonFacts) -> list[str]:
    """Tell of plain mirrors that this daemon asks over TLS all the same, so that it never gets an answer there."""
    major = re.match(r"\d+", facts.version)
    if not facts.containerd_store or major is None or int(major[0]) != _TLS_TO_PLAIN:
        return []
    told = tuple(plain_registry(name) for name in facts.insecure_registries)
    plain = [url for url in facts.mirrors if url.startswith("http://") and not _blindly(url, told)]
    if not plain:
        return []
    return [
        f"daemon-mirror-over-tls: cannot count on this daemon's own use of {_listed(plain)}: with the containerd store,"
        " engine 26 speaks TLS to a plain mirror unless its host stands in insecure-registries; list it there"
    ]


def _blindly(url: str, insecure: tuple[str, ...]) -> bool:
    try:
        return trusted_blindly(daemon_endpoint(url).host, insecure)
    except BadInput:
        return False


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
