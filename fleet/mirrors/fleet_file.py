"""Fleet's own mirror file on a host, in the form that Watchtower's page shows for ``daemon.json`` (pure)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fleet.errors import BadInput
from fleet.mirrors.daemon import INSECURE, MIRRORS, REGISTRIES, parse_json, plain_registry, trusted_blindly
from fleet.mirrors.policy import GLOBAL, read_mirror
from fleet.mirrors.source import MirrorRule, Provenance


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetFile:
    """What Fleet's own file says."""

    rules: tuple[MirrorRule, ...] = ()
    insecure: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    """Lines ``code: cannot ...``."""


def read_fleet_file(content: bytes, where: str) -> FleetFile:
    """Read ``{"registries": {"docker.io": [...]}, "registry-mirrors": [...], "insecure-registries": [...]}``.

    A registry has a list of mirrors, or a table with that list under ``mirrors`` or ``mirror``; a mirror is a URL or a
    table as in the policy. What cannot be used is told as a problem and left out; the rest counts.
    """
    try:
        document = parse_json(content)
    except BadInput as error:
        return FleetFile(problems=(f"fleet-file-broken: cannot read {where}: {error}",))
    problems = [
        f"fleet-file-broken: cannot use {key} in {where}; known: {MIRRORS}, {REGISTRIES}, {INSECURE}"
        for key in sorted(set(document) - {MIRRORS, REGISTRIES, INSECURE})
    ]
    insecure = tuple(plain_registry(str(name)) for name in _list(document.get(INSECURE), INSECURE, where, problems))
    registries = document.get(REGISTRIES) or {}
    if not isinstance(registries, Mapping):
        problems.append(f"fleet-file-broken: cannot use {REGISTRIES} in {where}; expected a table by registry")
        registries = {}
    named = [(str(registry), entry) for registry, entry in registries.items()]
    rules = [
        rule
        for registry, entries in [*named, (GLOBAL, document.get(MIRRORS))]
        for rule in _rules(registry, entries, where, problems)
    ]
    return FleetFile(
        rules=tuple(_trusting(rule, insecure) for rule in rules), insecure=insecure, problems=tuple(problems)
    )


def _rules(registry: str, entries: object, where: str, problems: list[str]) -> list[MirrorRule]:
    if isinstance(entries, Mapping) and "url" not in entries:
        entries = entries.get("mirrors", entries.get("mirror"))
    rules: list[MirrorRule] = []
    for entry in _list(entries, MIRRORS if registry == GLOBAL else registry, where, problems):
        try:
            rules.append(read_mirror(entry, for_registry=registry, provenance=Provenance.FLEET_FILE, where=where))
        except BadInput as error:
            problems.append(f"mirror-unusable: {error}")
    return rules


def _trusting(rule: MirrorRule, insecure: tuple[str, ...]) -> MirrorRule:
    """Return *rule* with its certificate unchecked where the file lists its host as insecure."""
    if not trusted_blindly(rule.endpoint.host, insecure):
        return rule
    return replace(rule, endpoint=replace(rule.endpoint, insecure=True))


def _list(value: object, key: str, where: str, problems: list[str]) -> Sequence[object]:
    if value is None:
        return ()
    if isinstance(value, str | Mapping):
        return (value,)
    if isinstance(value, list):
        return value
    problems.append(f"fleet-file-broken: cannot use {key} in {where}; expected a list")
    return ()
