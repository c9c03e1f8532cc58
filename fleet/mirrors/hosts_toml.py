"""What a ``hosts.toml`` below ``certs.d`` says about mirrors of one registry, as containerd reads it (pure)."""

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Any, Self
from urllib.parse import urlsplit

from fleet.errors import BadInput
from fleet.mirrors.endpoint import Shape, parse_endpoint
from fleet.mirrors.policy import GLOBAL, registry_key
from fleet.mirrors.source import Endpoint, MirrorRule, Provenance
from fleet.registry.address import is_loopback, origin_address

DEFAULT_FOLDER = "_default"
"""The folder whose file holds for every registry that has no folder of its own."""
_CAPABILITIES = frozenset({"pull", "resolve", "push", "referrers"})
_API = "/v2"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostsFile:
    """What one ``hosts.toml`` says."""

    rules: tuple[MirrorRule, ...] = ()
    insecure: tuple[str, ...] = ()
    """The registry itself, where the file lets its certificate go unchecked or names it with plain http."""
    authorization: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The ``Authorization`` header that the file gives for each server, by host. Never printed, logged or sent on."""
    knows_referrers: bool = False
    """Whether it names the capability ``referrers``, which makes an older containerd ignore the whole file."""
    problems: tuple[str, ...] = ()
    """Lines ``code: cannot ...``."""


def registry_of(folder: str) -> str:
    """Return the registry that a folder below ``certs.d`` is about, ``*`` for containerd's ``_default``."""
    if folder == DEFAULT_FOLDER:
        return GLOBAL
    if folder.endswith("_"):
        host, _, port = folder[:-1].rpartition("_")
        folder = f"{host}:{port}" if host and port.isdigit() else folder
    return registry_key(folder)


def read_hosts_toml(content: bytes, registry: str, where: str) -> HostsFile:
    """Read the bytes of the file *where* about *registry*; what is broken in it is told as a problem, never raised.

    One slip makes containerd ignore the whole file, and so it is here.
    """
    try:
        return _read(content, registry, where)
    except BadInput as error:
        told = f"cannot read {where}: {error}; correct it: the daemon ignores the whole file without a word"
        return HostsFile(problems=(f"hosts-toml-broken: {told}",))


def _read(content: bytes, registry: str, where: str) -> HostsFile:
    document = _parsed(content)
    tables = document.get("host", {})
    if not isinstance(tables, Mapping) or not all(isinstance(table, Mapping) for table in tables.values()):
        raise BadInput("host is no table of hosts")
    hosts = [_host(url, table, where) for url, table in tables.items()]
    server = document.get("server") or _server_of(registry)
    if not isinstance(server, str):
        raise BadInput("server is no URL")
    last = _host(server, {key: value for key, value in document.items() if key not in ("host", "server")}, where)
    problems = [told for host in (*hosts, last) for told in host.problems]
    origin = last.endpoint is None or last.endpoint.host in {registry, origin_address(registry).host}
    if origin and last.endpoint is not None and (last.endpoint.ca_file or last.endpoint.client_cert):
        problems.append(
            f"hosts-toml-unused: cannot use ca or client of {registry} itself in {where};"
            " put the files beside it as ca.crt, client.cert and client.key, which every engine reads"
        )
    return HostsFile(
        rules=tuple(_rules(hosts if origin else [*hosts, last], registry, where)),
        insecure=(registry,) if origin and _unchecked(last.endpoint) else (),
        authorization={host.name: host.authorization for host in (*hosts, last) if host.authorization and host.name},
        knows_referrers=any(host.referrers for host in (*hosts, last)),
        problems=tuple(problems),
    )


def _server_of(registry: str) -> str:
    """Return the server of a file that names none: the registry itself; empty where the file is about all of them."""
    return "" if registry == GLOBAL else f"https://{origin_address(registry).host}"


def _rules(mirrors: Iterable["_Host"], registry: str, where: str) -> Iterator[MirrorRule]:
    for mirror in mirrors:
        if mirror.endpoint is not None and mirror.pull:
            yield MirrorRule(
                for_registry=registry,
                endpoint=mirror.endpoint,
                provenance=Provenance.HOSTS_TOML,
                resolve=mirror.resolve,
                where=where,
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Host:
    name: str = ""
    endpoint: Endpoint | None = None
    """None: the file names none, or none that requests can be made of."""
    pull: bool = True
    resolve: bool = False
    referrers: bool = False
    authorization: str = field(default="", repr=False)
    problems: tuple[str, ...] = ()


def _host(url: str, table: Mapping[str, Any], where: str) -> _Host:
    """Read one server and what is written about it; raise BadInput for what makes containerd ignore the file."""
    said = _Said.of(table, str(PurePath(where).parent))
    if not url:
        return _Host(referrers="referrers" in said.capabilities)
    url = url if url.startswith("http") else f"https://{url}"
    try:
        endpoint = _endpoint(url, override=said.override)
    except BadInput as error:
        return _Host(problems=(f"hosts-toml-unused: {error} (in {where})",))
    cert, key = said.clients[0] if said.clients else ("", "")
    return _Host(
        name=endpoint.host,
        endpoint=replace(
            endpoint,
            # Who writes a login beside a plain http:// means it to be sent so.
            insecure=said.unchecked or ("authorization" in said.headers and _is_plain_elsewhere(endpoint)),
            ca_file=said.authorities[0] if said.authorities else "",
            client_cert=cert,
            client_key=key,
        ),
        pull=not said.capabilities or "pull" in said.capabilities,
        # A file that says nothing was not written to trust a mirror with what tags mean; one that names it was.
        resolve="resolve" in said.capabilities,
        referrers="referrers" in said.capabilities,
        authorization=said.headers.get("authorization", ""),
        problems=tuple(_unused(said, url.rpartition("@")[2], where)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """What is written about one server, read as containerd reads it."""

    capabilities: frozenset[str]
    authorities: tuple[str, ...]
    clients: tuple[tuple[str, str], ...]
    """Certificate and key of each."""
    headers: Mapping[str, str] = field(repr=False)
    unchecked: bool
    override: bool

    @classmethod
    def of(cls, table: Mapping[str, Any], folder: str) -> Self:
        """Read *table*, whose files are relative to *folder*; raise BadInput for what makes containerd ignore the file."""
        capabilities = frozenset(name.lower() for name in _strings(table, "capabilities"))
        if unknown := sorted(capabilities - _CAPABILITIES):
            raise BadInput(f"unknown capability {unknown[0]!r}")
        unchecked, override = table.get("skip_verify", False), table.get("override_path", False)
        if not isinstance(unchecked, bool) or not isinstance(override, bool):
            raise BadInput("skip_verify or override_path is neither true nor false")
        return cls(
            capabilities=capabilities,
            authorities=tuple(_absolute(name, folder) for name in _strings(table, "ca")),
            clients=tuple(_pairs(table, folder)),
            headers=_headers(table),
            unchecked=unchecked,
            override=override,
        )


def _unused(said: _Said, server: str, where: str) -> Iterator[str]:
    """Yield what of *said* is not done."""
    for name in sorted(said.headers.keys() - {"authorization"}):
        asked = f"cannot send the header {name} to {server}, which {where} asks for"
        yield f"hosts-toml-unused: {asked}: Authorization alone is sent"
    if len(said.authorities) > 1 or len(said.clients) > 1:
        yield (
            f"hosts-toml-unused: cannot use more than the first ca and client of {server} in {where};"
            " put several authorities into one file"
        )


def _endpoint(url: str, *, override: bool) -> Endpoint:
    """Return where *url* is asked: its path and ``/v2``, or the path alone where that is overridden; raise BadInput."""
    if not override:
        return replace(parse_endpoint(url, shape=Shape.ARTIFACTORY), ns_query=True)
    parts = urlsplit(url)
    base, found, prefix = f"{parts.path.rstrip('/')}/".partition(f"{_API}/")
    if not found:
        raise BadInput(f"cannot ask {url.rpartition('@')[2]}: its path is overridden and leads to no /v2")
    root = replace(parse_endpoint(f"{parts.scheme}://{parts.netloc}{base}", shape=Shape.ARTIFACTORY), ns_query=True)
    return replace(root, base_path=base.rstrip("/"), repo_prefix=prefix)


def _parsed(content: bytes) -> Mapping[str, Any]:
    try:
        return tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"it is not TOML ({error})") from error


def _strings(table: Mapping[str, Any], key: str) -> list[str]:
    value = table.get(key, [])
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise BadInput(f"{key} is neither a string nor a list of strings")
    return value


def _pairs(table: Mapping[str, Any], folder: str) -> list[tuple[str, str]]:
    """Return certificate and key of each client: a file that holds both, or a pair of files."""
    value = table.get("client", [])
    pairs: list[tuple[str, str]] = []
    for item in [value] if isinstance(value, str) else value if isinstance(value, list) else [None]:
        if isinstance(item, str):
            pairs.append((_absolute(item, folder), ""))
        elif isinstance(item, list) and len(item) == 2 and all(isinstance(part, str) for part in item):
            pairs.append((_absolute(item[0], folder), _absolute(item[1], folder) if item[1] else ""))
        else:
            raise BadInput("client is neither a file, a list of files, nor a list of pairs of files")
    return pairs


def _headers(table: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers by their names in lower case, the first value of each."""
    headers = table.get("header", {})
    if not isinstance(headers, Mapping):
        raise BadInput("header is no table")
    values = {name.lower(): _strings(headers, name) for name in headers}
    return {name: several[0] for name, several in values.items() if several}


def _absolute(path: str, folder: str) -> str:
    return str(PurePath(folder) / path)


def _unchecked(endpoint: Endpoint | None) -> bool:
    return endpoint is not None and (endpoint.insecure or endpoint.scheme == "http")


def _is_plain_elsewhere(endpoint: Endpoint) -> bool:
    """Tell whether *endpoint* is another machine that is asked in plain http."""
    return endpoint.scheme == "http" and not is_loopback(endpoint.host)
