"""Mirrors as Fleet's own policy and Fleet's own file on a host write them, read and written (pure)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fleet.errors import BadInput
from fleet.images.reference import DOCKER_HUB, is_registry
from fleet.mirrors.endpoint import Shape, parse_endpoint, write_endpoint
from fleet.mirrors.source import MirrorRule, Provenance
from fleet.registry.named import LOGINS, NONE, PROXIES, has_user, is_name, is_proxy_url

GLOBAL = "*"
"""What a global mirror is for."""
_HUB_NAMES = frozenset({"index.docker.io", "registry-1.docker.io", "hub.docker.com", "registry.hub.docker.com"})
_KEYS = ("for", "url", "shape", "auth", "proxy", "insecure", "ca", "resolve")
CONFIG = "config"
"""What ``auth`` is where nothing is said: whom the host's Docker configuration names."""


def parse_mirrors(
    document: object, *, provenance: Provenance = Provenance.POLICY, where: str = "policy"
) -> tuple[MirrorRule, ...]:
    """Read a list of mirrors, each a table with ``for`` and ``url`` and, where wanted, ``shape``, ``auth``, ``proxy``,
    ``insecure``, ``ca`` and ``resolve``, or the whole document that has this list under ``mirrors``; raise BadInput that names the entry.
    """
    if isinstance(document, Mapping):
        document = document.get("mirrors", [])
    if document is None:
        return ()
    if not isinstance(document, Sequence) or isinstance(document, str | bytes):
        raise BadInput("cannot read the mirrors; expected a list of tables with for and url")
    return tuple(
        _rule(entry, f"mirror {number}", provenance=provenance, where=where)
        for number, entry in enumerate(document, start=1)
    )


def write_mirrors(rules: Sequence[MirrorRule]) -> list[dict[str, Any]]:
    """Return the list from which ``parse_mirrors`` makes the same mirrors again."""
    return [_written(rule) for rule in rules]


def read_mirror(
    entry: object, *, for_registry: str, provenance: Provenance, where: str, named: str = "mirror"
) -> MirrorRule:
    """Read one mirror of *for_registry*: its URL, or a table like those of the policy; raise BadInput."""
    table = {"url": entry} if isinstance(entry, str) else entry
    if isinstance(table, Mapping):
        table = {"for": for_registry, **table}
    return _rule(table, named, provenance=provenance, where=where)


def registry_key(name: str) -> str:
    """Return the registry that *name* means as references name it: ``index.docker.io`` is ``docker.io``."""
    host = name.strip().partition("://")[2] or name.strip()
    host = host.partition("/")[0].lower()
    return DOCKER_HUB if host in _HUB_NAMES else host


def _rule(entry: object, named: str, *, provenance: Provenance, where: str) -> MirrorRule:
    if not isinstance(entry, Mapping):
        raise BadInput(f"cannot read {named} of {where}; expected a table with for and url")
    if unknown := sorted(set(map(str, entry)) - set(_KEYS)):
        raise BadInput(f"cannot use {', '.join(unknown)} in {named} of {where}; known: {', '.join(_KEYS)}")
    for_registry, url = entry.get("for", GLOBAL), entry.get("url")
    if not isinstance(url, str) or not isinstance(for_registry, str) or not registry_key(for_registry):
        raise BadInput(f"cannot read {named} of {where}; expected a registry as for, and a URL as url")
    registry = registry_key(for_registry)
    if (registry != GLOBAL and not is_registry(registry)) or _names_repositories(for_registry):
        raise BadInput(
            f"cannot use {for_registry[:80]!r} as for in {named} of {where}; expected a registry such as ghcr.io, or *"
        )
    endpoint = parse_endpoint(
        url,
        shape=_shape(entry.get("shape", Shape.PLAIN), named, where),
        insecure=_flag(entry, "insecure", named, where),
        ca_file=str(entry.get("ca") or ""),
    )
    return MirrorRule(
        for_registry=registry,
        endpoint=replace(endpoint, auth=_auth(entry, named, where), proxy=_proxy(entry, named, where)),
        provenance=provenance,
        resolve=_flag(entry, "resolve", named, where),
        where=where,
    )


def _names_repositories(name: str) -> bool:
    """Tell whether *name* means some repositories of a registry: to take it for all of them would be more than was meant."""
    return (name.strip().partition("://")[2] or name.strip()).partition("/")[2].strip("/") not in ("", "v1", "v2")


def _shape(text: object, named: str, where: str) -> Shape:
    try:
        return Shape(str(text))
    except ValueError as error:
        shapes = ", ".join(Shape)
        raise BadInput(f"cannot use {str(text)[:80]!r} as the shape of {named} of {where}; known: {shapes}") from error


def _flag(entry: Mapping[str, Any], key: str, named: str, where: str) -> bool:
    value = entry.get(key, False)
    if not isinstance(value, bool):
        raise BadInput(f"cannot use {str(value)[:80]!r} as {key} of {named} of {where}; expected true or false")
    return value


def _auth(entry: Mapping[str, Any], named: str, where: str) -> str:
    """Return who to be at this mirror. What was written is never repeated: somebody may have written a password."""
    value = entry.get("auth", CONFIG)
    if value == CONFIG:
        return ""
    if not isinstance(value, str) or not is_name(value):
        raise BadInput(
            f"cannot use auth of {named} of {where}; expected {CONFIG}, {NONE}, or the name of a login that the hosts have:"
            f" NAME is {LOGINS}/NAME/config.json, and no password stands in a policy"
        )
    return value


def _proxy(entry: Mapping[str, Any], named: str, where: str) -> str:
    """Return by which proxy this mirror is asked. What was written is never repeated, as of ``auth``."""
    value = entry.get("proxy", "")
    url = isinstance(value, str) and is_proxy_url(value)
    if url and has_user(value):
        raise BadInput(
            f"cannot use proxy of {named} of {where} with a user or password in it; write the URL into {PROXIES}/NAME on the"
            " hosts, and the NAME into the policy"
        )
    if value == "" or url or (isinstance(value, str) and is_name(value)):
        return str(value).rstrip("/")
    raise BadInput(
        f"cannot use proxy of {named} of {where}; expected http://host:port, {NONE}, or the name of a proxy that the hosts"
        f" have: NAME is {PROXIES}/NAME"
    )


def _written(rule: MirrorRule) -> dict[str, Any]:
    url, shape = write_endpoint(rule.endpoint)
    table: dict[str, Any] = {"for": rule.for_registry, "url": url}
    optional = {
        "shape": "" if shape is Shape.PLAIN else str(shape),
        "auth": rule.endpoint.auth,
        "proxy": rule.endpoint.proxy,
        "insecure": rule.endpoint.insecure,
        "ca": rule.endpoint.ca_file,
        "resolve": rule.resolve,
    }
    return table | {key: value for key, value in optional.items() if value}
