"""What podman's ``registries.conf`` says about mirrors of whole registries (pure)."""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from fleet.errors import BadInput
from fleet.mirrors.endpoint import Shape, parse_endpoint
from fleet.mirrors.policy import registry_key
from fleet.mirrors.source import Endpoint, MirrorRule, Provenance

_FROM = frozenset({"", "all", "digest-only", "tag-only"})
_FIRST_FORM = "registries"
_SECOND_FORM = ("registry", "unqualified-search-registries", "credential-helpers", "short-name-mode", "aliases")


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistriesFile:
    """What several files, read in their order, say together."""

    rules: tuple[MirrorRule, ...] = ()
    problems: tuple[str, ...] = ()
    """Lines ``code: cannot ...``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Registry:
    """One table of ``[[registry]]``."""

    prefix: str
    location: str
    """Where it really is; the prefix where that is not told."""
    where: str
    endpoints: tuple[Endpoint, ...]
    insecure: bool
    blocked: bool


def read_registries_conf(files: Iterable[tuple[str, bytes]]) -> RegistriesFile:
    """Read *files* (name and content); a later one replaces what an earlier one says of the same prefix.

    In one file the first counts that names a prefix.
    What is broken is told as a problem, never raised: podman refuses the whole file, and so it is here.
    """
    found: dict[str, _Registry] = {}
    problems: list[str] = []
    for where, content in files:
        try:
            registries = _read(content, where)
            _agree(registries)
            found |= {registry.prefix: registry for registry in reversed(registries)}
        except BadInput as error:
            problems.append(
                f"registries-conf-broken: cannot read {where}: {error}; correct it: podman refuses the whole file"
            )
    rules: list[MirrorRule] = []
    for registry in found.values():
        if not registry.endpoints:
            continue
        if reason := _unusable(registry):
            problems.append(f"registries-conf-unused: cannot use {registry.prefix} of {registry.where}: {reason}")
            continue
        rules += [
            MirrorRule(
                for_registry=registry_key(registry.prefix),
                endpoint=endpoint,
                provenance=Provenance.REGISTRIES_CONF,
                where=registry.where,
            )
            for endpoint in registry.endpoints
        ]
    return RegistriesFile(rules=tuple(rules), problems=tuple(problems))


def _unusable(registry: _Registry) -> str:
    """Return why Fleet has no use for what is said of *registry*; empty where it has."""
    if "/" in registry.prefix or "*" in registry.prefix:
        return "mirrors are for whole registries here; name the registry itself as prefix"
    return "podman does not pull from it at all (blocked)" if registry.blocked else ""


def _read(content: bytes, where: str) -> list[_Registry]:
    try:
        document = tomllib.loads(content.decode("utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"it is not TOML ({error})") from error
    if _FIRST_FORM in document and not document.keys().isdisjoint(_SECOND_FORM):
        raise BadInput("it mixes the first and the second form of this file")
    return [_registry(table, where) for table in _tables(document, "registry")]


def _agree(registries: Iterable[_Registry]) -> None:
    """Raise BadInput where tables about the same place disagree on whether it is insecure or blocked."""
    said: dict[str, tuple[bool, bool]] = {}
    for registry in registries:
        marks = (registry.insecure, registry.blocked)
        if said.setdefault(registry.location, marks) != marks:
            raise BadInput(f"{registry.location} is insecure or blocked in one table and not in another")


def _registry(table: Mapping[str, Any], where: str) -> _Registry:
    location = _location(table, needed=not str(table.get("prefix", "")).startswith("*."))
    prefix = _without_scheme(str(table.get("prefix") or location))
    if "pull-from-mirror" in table:
        raise BadInput(f"pull-from-mirror of {prefix} stands outside its mirrors")
    by_digest = _flag(table, "mirror-by-digest-only")
    mirrors = [_mirror(mirror, by_digest=by_digest) for mirror in _tables(table, "mirror")]
    endpoints = [endpoint for endpoint in mirrors if endpoint is not None]
    if location and location != prefix:
        # The registry is really elsewhere: podman asks there last, and never the name itself.
        endpoints.append(_endpoint(location, insecure=_flag(table, "insecure")))
    return _Registry(
        prefix=prefix,
        location=location or prefix,
        where=where,
        endpoints=tuple(endpoints),
        insecure=_flag(table, "insecure"),
        blocked=_flag(table, "blocked"),
    )


def _mirror(table: Mapping[str, Any], *, by_digest: bool) -> Endpoint | None:
    """Return the endpoint of a mirror, None for one of tags alone: bytes are asked for by digest here."""
    location = _location(table)
    which = str(table.get("pull-from-mirror", ""))
    if which not in _FROM:
        raise BadInput(f"pull-from-mirror of {location} is {which[:40]!r}; known: all, digest-only, tag-only")
    if which and by_digest:
        raise BadInput(f"pull-from-mirror of {location} stands beside mirror-by-digest-only")
    return None if which == "tag-only" else _endpoint(location, insecure=_flag(table, "insecure"))


def _endpoint(location: str, *, insecure: bool) -> Endpoint:
    """Return where *location* is asked: its path stands before the repository, after ``/v2``."""
    endpoint = parse_endpoint(f"https://{location}", shape=Shape.HARBOR, insecure=insecure)
    return replace(endpoint, http_fallback=insecure)


def _location(table: Mapping[str, Any], *, needed: bool = True) -> str:
    location = table.get("location", "")
    if not isinstance(location, str) or (needed and not location.strip("/")):
        raise BadInput("a registry or mirror has no location")
    return _without_scheme(location)


def _without_scheme(location: str) -> str:
    if "://" in location:
        raise BadInput(f"the location {location[:80]!r} has a scheme; podman takes host and path alone")
    return location.rstrip("/")


def _tables(document: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    value = document.get(key, [])
    if not isinstance(value, list) or not all(isinstance(table, Mapping) for table in value):
        raise BadInput(f"{key} is no list of tables")
    return value


def _flag(table: Mapping[str, Any], key: str) -> bool:
    value = table.get(key, False)
    if not isinstance(value, bool):
        raise BadInput(f"{key} is neither true nor false")
    return value
