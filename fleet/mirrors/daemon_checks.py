"""What keeps a Docker daemon from using its mirrors, or makes it use them in a way that nobody meant (pure).

Each check returns lines ``code: cannot ...``.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from fleet.errors import BadInput
from fleet.mirrors.daemon import INSECURE, MIRRORS, DaemonFile, plain_registry, spelling, trusted_blindly
from fleet.mirrors.daemon_flags import DaemonFlags
from fleet.mirrors.endpoint import daemon_endpoint
from fleet.mirrors.hosts_toml import HostsFile

_UNCHECKED_SINCE = 28
"""Since which major version a blindly trusted mirror makes the containerd store trust Docker Hub blindly, too."""
_TLS_TO_PLAIN = 26
"""The major version whose containerd store speaks TLS to a mirror that is written as http (seen on 26.1)."""
_HOSTS_TOML_SINCE = 28
"""Since which major version the containerd store reads ``hosts.toml``; graph drivers never do."""
_REFERRERS_SINCE = 29
"""Since which major version the capability ``referrers`` does not make the whole file ignored (refused by 28.5)."""


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


def pending(
    facts: DaemonFacts, files: Sequence[tuple[Path, DaemonFile]], flags: DaemonFlags | None = None
) -> list[str]:
    """Tell where the daemon uses something else than its file says: it was not restarted or reloaded since.

    Without *flags* (None: its process cannot be seen) what no file names may come from its command line.
    """
    used = tuple(map(spelling, facts.mirrors))
    naming = [(path, file) for path, file in files if file.mirrors is not None]
    problems = []
    if naming and all(file.mirrors != used for _, file in naming):
        path, file = naming[0]
        problems.append(
            f"daemon-mirrors-pending: cannot count on the mirrors of {path} ({_listed(file.mirrors or ())}): the daemon"
            f" uses {_listed(used)}; reload or restart it: systemctl reload docker"
        )
    if used and not naming and flags is not None and not flags.mirrors:
        problems.append(
            f"daemon-mirrors-pending: cannot say why the daemon uses {_listed(used)}: neither its file nor its flags name"
            " them any more, and a reload does not take them away; restart it: systemctl restart docker"
        )
    told = _told_insecure(facts)
    missing = [name for _, file in files for name in file.insecure if not trusted_blindly(name, told)]
    if missing:
        problems.append(
            f"daemon-insecure-pending: cannot count on insecure-registries {_listed(missing)}: the daemon does not"
            " know them; reload or restart it: systemctl reload docker"
        )
    return problems


def twice(flags: DaemonFlags, files: Sequence[tuple[Path, DaemonFile]]) -> list[str]:
    """Tell of what stands both in the file and on the command line: the daemon does not start with it once more."""
    return [
        f"daemon-flag-and-file: cannot have {key} both in {path} and on the daemon's command line: it will not start"
        " again; take one of them away"
        for path, file in files
        for key, there, flagged in (
            (MIRRORS, file.mirrors is not None, flags.mirrors),
            (INSECURE, file.lists_insecure, flags.insecure),
        )
        if there and flagged
    ]


def unchecked_hub(facts: DaemonFacts) -> list[str]:
    """Tell where a mirror makes this daemon pull from Docker Hub without checking its certificate."""
    if not _containerd(facts, since=_UNCHECKED_SINCE):
        return []
    told = _told_insecure(facts)
    blind = [url for url in facts.mirrors if _blindly(url, told)]
    if not blind:
        return []
    return [
        f"daemon-hub-unchecked: cannot trust this daemon's own pulls from Docker Hub: the mirror {_listed(blind)} makes"
        " it skip the check of Docker Hub's certificate; write hosts.toml instead, or name the mirror in Fleet alone"
    ]


def asked_over_tls(facts: DaemonFacts) -> list[str]:
    """Tell of plain mirrors that this daemon asks over TLS all the same, so that it never gets an answer there."""
    if not facts.containerd_store or _major(facts) != _TLS_TO_PLAIN:
        return []
    told = _told_insecure(facts)
    plain = [url for url in facts.mirrors if url.startswith("http://") and not _blindly(url, told)]
    if not plain:
        return []
    return [
        f"daemon-mirror-over-tls: cannot count on this daemon's own use of {_listed(plain)}: with the containerd store,"
        " engine 26 speaks TLS to a plain mirror unless its host stands in insecure-registries; list it there"
    ]


def unread_hosts(facts: DaemonFacts, files: Sequence[tuple[Path, HostsFile]]) -> list[str]:
    """Tell where the daemon does not read a ``hosts.toml`` that is there; Fleet's own pulls use it all the same."""
    naming = [(path, file) for path, file in files if file.rules]
    if not naming:
        return []
    paths = _listed([str(path) for path, _ in naming])
    if not _containerd(facts, since=_HOSTS_TOML_SINCE):
        return [
            f"hosts-toml-unread: cannot count on this daemon's own use of {paths}: engine {facts.version} does not read it,"
            f" Fleet alone does; update to engine {_HOSTS_TOML_SINCE} or later with the containerd store"
        ]
    if (_major(facts) or 0) >= _REFERRERS_SINCE:
        return []
    return [
        f"hosts-toml-broken: cannot count on this daemon's own use of {path}: engine {facts.version} does not know the"
        " capability referrers, and ignores the whole file without a word; take it out"
        for path, file in naming
        if file.knows_referrers
    ]


def _containerd(facts: DaemonFacts, *, since: int) -> bool:
    return facts.containerd_store and (_major(facts) or 0) >= since


def _major(facts: DaemonFacts) -> int | None:
    major = re.match(r"\d+", facts.version)
    return int(major[0]) if major else None


def _told_insecure(facts: DaemonFacts) -> tuple[str, ...]:
    return tuple(plain_registry(name) for name in facts.insecure_registries)


def _blindly(url: str, insecure: tuple[str, ...]) -> bool:
    try:
        return trusted_blindly(daemon_endpoint(url).host, insecure)
    except BadInput:
        return False


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
