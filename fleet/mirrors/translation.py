"""Turns what other programs' files say of mirrors into the policy that says the same for hosts (pure)."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from fleet.errors import BadInput
from fleet.mirrors.daemon import INSECURE, REGISTRIES, parse_json, read_daemon_file
from fleet.mirrors.fleet_file import read_fleet_file
from fleet.mirrors.hosts_toml import read_hosts_toml, registry_of
from fleet.mirrors.policy import write_mirrors
from fleet.mirrors.registries_conf import read_registries_conf
from fleet.mirrors.source import MirrorRule


@dataclass(frozen=True, slots=True, kw_only=True)
class Translated:
    """The mirrors of some files."""

    rules: tuple[MirrorRule, ...] = ()
    problems: tuple[str, ...] = ()
    """Lines ``code: cannot ...``: what is wrong in the files, or cannot be said in a policy."""

    @property
    def policy(self) -> dict[str, Any]:
        """The policy document."""
        return {"mirrors": write_mirrors(self.rules)}


def translate(content: bytes, where: str, registry: str = "") -> Translated:
    """Read one file by its name: ``hosts.toml`` (of *registry*, or of its folder's), ``*.conf`` of podman, or JSON."""
    name = PurePath(where).name
    if name == "hosts.toml":
        named = registry or registry_of(PurePath(where).parent.name)
        if not named:
            raise BadInput(f"cannot tell which registry {where} is about; name it with --registry")
        hosts = read_hosts_toml(content, named, where)
        return _translated(hosts.rules, hosts.problems)
    if name.endswith(".conf"):
        podman = read_registries_conf([(where, content)])
        return _translated(podman.rules, podman.problems)
    daemon = read_daemon_file(content, where)
    return _translated((*_registries(content, where), *daemon.rules), daemon.problems)


def policy_toml(rules: Sequence[MirrorRule]) -> str:
    """Return the policy as TOML, in the form in which ``fleet policy apply`` takes it."""
    tables = [
        "\n".join(["[[mirrors]]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())])
        for table in write_mirrors(rules)
    ]
    return "\n\n".join(tables)


def _registries(content: bytes, where: str) -> tuple[MirrorRule, ...]:
    """Return what the map means that no daemon takes, and Fleet's own file does."""
    try:
        document = parse_json(content)
    except BadInput:
        return ()  # the daemon's reading tells
    mine = {key: document[key] for key in (REGISTRIES, INSECURE) if key in document}
    return read_fleet_file(json.dumps(mine).encode(), where).rules


def _translated(rules: Sequence[MirrorRule], problems: Sequence[str]) -> Translated:
    lost = [
        f"policy-cannot-say: cannot take over the client certificate of {rule.endpoint} for all hosts; leave it in its"
        " file, or put it below certs.d of each host"
        for rule in rules
        if rule.endpoint.client_cert
    ]
    lost += [
        f"policy-cannot-say: cannot ask {rule.endpoint} by TLS or else in plain http, as podman does; write http:// in the"
        " policy where it is plain"
        for rule in rules
        if rule.endpoint.http_fallback
    ]
    return Translated(rules=tuple(rules), problems=(*problems, *lost))
