"""Which mirrors a host has of its own: Fleet's file, the files of its engines, and what the running daemon says it uses."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from fleet.mirrors import daemon_checks
from fleet.mirrors.daemon import DaemonFile, daemon_rules, insecure_list, plain_registry, read_daemon_file
from fleet.mirrors.daemon_checks import DaemonFacts
from fleet.mirrors.daemon_flags import NO_FLAGS, DaemonFlags
from fleet.mirrors.fleet_file import FleetFile, read_fleet_file
from fleet.mirrors.hosts_toml import HostsFile, read_hosts_toml, registry_of
from fleet.mirrors.managed_hosts import HOSTS_FILE, is_managed
from fleet.mirrors.registries_conf import RegistriesFile, read_registries_conf
from fleet.mirrors.source import Endpoint, MirrorRule, Provenance
from fleet.registry.faults import printable
from fleet.registry.tls import DOCKER_CERTS, expanded

_ALWAYS_INSECURE = frozenset({"127.0.0.0/8", "::1/128"})
_FLAGS = "the daemon's flags"
_LONGEST_PROBLEM = 2000
"""The most characters of a problem."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where the files of a host lie; made without arguments, where they usually do."""

    fleet_file: Path = Path("/etc/fleet/mirrors.json")
    daemon_files: tuple[Path, ...] = (
        Path("/etc/docker/daemon.json"),
        Path("~/.config/docker/daemon.json"),
        Path("C:\\ProgramData\\docker\\config\\daemon.json"),
    )
    """The Docker daemon's configuration on Linux, without root, and on Windows."""
    certs_folders: tuple[Path, ...] = DOCKER_CERTS
    """Below each, a folder by registry may hold a ``hosts.toml``."""
    registries_confs: tuple[Path, ...] = (
        Path("~/.config/containers/registries.conf"),
        Path("/etc/containers/registries.conf"),
    )
    """Podman's file; the first that is there counts, with the ``*.conf`` in the folder ``registries.conf.d`` beside it."""


USUAL = Places()


@dataclass(frozen=True, slots=True, kw_only=True)
class HostMirrors:
    """The mirrors that one host has of its own, in order; made without arguments, none."""

    rules: tuple[MirrorRule, ...] = ()
    insecure: tuple[str, ...] = ()
    """Registries and networks whose certificate goes unchecked on this host."""
    problems: tuple[str, ...] = ()
    """Lines ``code: cannot ...`` for ``fleet doctor``."""


def read_host_mirrors(
    facts: DaemonFacts | None,
    *,
    places: Places = USUAL,
    find_flags: Callable[[], DaemonFlags | None] = lambda: None,
) -> HostMirrors:
    """Return this host's mirrors: Fleet's file, ``hosts.toml``, the daemon's file, flags and own words, podman's file.

    *facts* is what the engine says about itself, None where it cannot be asked; *find_flags* returns the flags of its
    process where that can be seen. Nothing that the files hold is raised.
    """
    seen = find_flags()
    flags = seen or NO_FLAGS
    problems: list[str] = []
    own = _read(places.fleet_file, read_fleet_file, "fleet-file-unreadable", problems) or FleetFile()
    daemons = _daemon_files(places, flags, problems)
    hosts = _hosts_files(places, problems)
    podman = _registries_conf(places, problems)
    flagged = insecure_list(flags.insecure, _FLAGS, problems)
    files: list[DaemonFile | HostsFile] = [*(file for _, file in daemons), *(file for _, file in hosts)]
    insecure = [*own.insecure, *(name for file in files for name in file.insecure), *flagged]
    rules = [
        *own.rules,
        *(rule for _, file in hosts for rule in file.rules),
        *(rule for _, file in daemons for rule in file.rules),
        *daemon_rules(flags.mirrors, flagged, _FLAGS, Provenance.DAEMON_FLAG, problems),
    ]
    problems += [*own.problems, *(told for file in files for told in file.problems), *podman.problems]
    problems += daemon_checks.twice(flags, daemons)
    if facts is not None:
        told = tuple(plain_registry(name) for name in facts.insecure_registries)
        insecure += [name for name in told if name not in _ALWAYS_INSECURE]
        rules += _only_told(facts, told, rules, problems)
        problems += daemon_checks.pending(facts, daemons, seen)
        problems += [*daemon_checks.unchecked_hub(facts), *daemon_checks.asked_over_tls(facts)]
        problems += daemon_checks.unread_hosts(facts, hosts)
    return _printable([*rules, *podman.rules], insecure, problems)


def hosts_files(folders: Sequence[Path]) -> list[tuple[Path, str]]:
    """Return every ``hosts.toml`` below *folders*, with the registry that it is about; ``_default`` last.

    What this agent wrote itself is left out: it says what the policy says, and names our own gateway.
    """
    found = [path for folder in folders for path in sorted(expanded(folder).glob(f"*/{HOSTS_FILE}"))]
    named = [(path, registry_of(path.parent.name)) for path in found if not is_managed(path)]
    return sorted(named, key=lambda each: each[1] == "*")


def _printable(rules: Sequence[MirrorRule], insecure: Sequence[str], problems: Sequence[str]) -> HostMirrors:
    """Return all of it, each once, but for mirrors that nobody can read: those are told instead."""
    usable = tuple(rule for rule in rules if _is_written(rule.endpoint))
    unusable = [
        f"mirror-unusable: cannot use {str(rule.endpoint)!r} of {rule.where}: it has characters that nobody can read"
        for rule in rules
        if rule not in usable
    ]
    return HostMirrors(
        rules=usable,
        insecure=tuple(dict.fromkeys(insecure)),
        problems=tuple(dict.fromkeys(printable(problem, _LONGEST_PROBLEM) for problem in (*problems, *unusable))),
    )


def _is_written(endpoint: Endpoint) -> bool:
    """Tell whether *endpoint* is made of what can be printed: neither a message nor a database would take the rest."""
    texts = (str(endpoint), endpoint.ca_file, endpoint.client_cert, endpoint.client_key)
    return all(map(str.isprintable, texts))


def _closed(folder: Path) -> str:
    """Return why nobody knows which registries *folder* has files about; empty where that is known."""
    try:
        os.scandir(folder).close()
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"hosts-toml-unreadable: cannot look into {folder}: {error.strerror}; let the agent's user read it"
    return ""


def _only_told(
    facts: DaemonFacts, insecure: tuple[str, ...], rules: Sequence[MirrorRule], problems: list[str]
) -> list[MirrorRule]:
    """Return the mirrors that the daemon uses and that no file and no flag names."""
    known = {(rule.for_registry, rule.endpoint.host, rule.endpoint.base_path) for rule in rules}
    told = daemon_rules(facts.mirrors, insecure, "docker info", Provenance.DAEMON, problems)
    return [r for r in told if (r.for_registry, r.endpoint.host, r.endpoint.base_path) not in known]


def _daemon_files(places: Places, flags: DaemonFlags, problems: list[str]) -> list[tuple[Path, DaemonFile]]:
    paths = (Path(flags.config_file),) if flags.config_file else places.daemon_files
    read = ((path, _read(expanded(path), read_daemon_file, "daemon-json-unreadable", problems)) for path in paths)
    return [(path, file) for path, file in read if file is not None]


def _hosts_files(places: Places, problems: list[str]) -> list[tuple[Path, HostsFile]]:
    found: list[tuple[Path, HostsFile]] = []
    problems += filter(None, map(_closed, map(expanded, places.certs_folders)))
    for path, registry in hosts_files(places.certs_folders):

        def read(content: bytes, where: str, registry: str = registry) -> HostsFile:
            return read_hosts_toml(content, registry, where)

        file = _read(path, read, "hosts-toml-unreadable", problems)
        if file is not None:
            found.append((path, file))
    return found


def _registries_conf(places: Places, problems: list[str]) -> RegistriesFile:
    for base in places.registries_confs:
        path = expanded(base)
        paths = [path, *sorted(path.with_name(f"{path.name}.d").glob("*.conf"))]
        contents = [(each, _read(each, lambda b, _: b, "registries-conf-unreadable", problems)) for each in paths]
        found = [(str(each), content) for each, content in contents if content is not None]
        if found:
            return read_registries_conf(found)
    return RegistriesFile()


def _read(path: Path, read: Callable[[bytes, str], T], code: str, problems: list[str]) -> T | None:
    """Return what *read* makes of the file, None where it is not there; one that cannot be read is told."""
    try:
        return read(path.read_bytes(), str(path))
    except FileNotFoundError:
        return None
    except OSError as error:
        problems.append(f"{code}: cannot read {path}: {error.strerror}")
        return None
