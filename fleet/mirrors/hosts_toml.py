"""What a ``hosts.toml`` below ``certs.d`` says about mirrors of one registry, as containerd reads it (pure)."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Any
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
    itself = "" if registry == GLOBAL else f"https://{origin_address(registry).host}"
    server = document.get("server") or itself
    if not isinstance(server, str):
        raise BadInput("server is no URL")
    last = _host(server, {key: value for key, value in document.items() if key not in ("host", "server")}, where)
    problems = [told for host in (*hosts, last) for told in host.problems]
    origin = last.endpoint is None or last.endpoint.host in {registry, origin_address(registry).host}
    mirrors = hosts if origin else [*hosts, last]
    if origin and last.endpoint is not None and (last.endpoint.ca_file or last.endpoint.client_cert):
        problems.append(
            f"hosts-toml-unused: cannot use ca or client of {registry} itself in {where};"
            " put the files beside it as ca.crt, client.cert and client.key, which every engine reads"
        )
    return HostsFile(
        rules=tuple(
            MirrorRule(
                for_registry=registry,
                endpoint=host.endpoint,
                provenance=Provenance.HOSTS_TOML,
                resolve=host.resolve,
                where=where,
            )
            for host in mirrors
            if host.endpoint is not None and host.pull
        ),
        insecure=(registry,) if origin and registry != GLOBAL and _unchecked(last.endpoint) else (),
        authorization={host.name: host.authorization for host in (*hosts, last) if host.authorization and host.name},
        knows_referrers=any(host.referrers for host in (*hosts, last)),
        problems=tuple(problems),
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
    named = _strings(table, "capabilities")
    capabilities = [name.lower() for name in named]
    if unknown := sorted(set(capabilities) - _CAPABILITIES):
        raise BadInput(f"unknown capability {unknown[0]!r}")
    folder = str(PurePath(where).parent)
    authorities = [_absolute(name, folder) for name in _strings(table, "ca")]
    pairs = _pairs(table, folder)
    headers = _headers(table)
    unchecked = table.get("skip_verify", False)
    override = table.get("override_path", False)
    if not isinstance(unchecked, bool) or not isinstance(override, bool):
        raise BadInput("skip_verify or override_path is neither true nor false")
    if not url:
        return _Host(referrers="referrers" in capabilities)
    url = url if url.startswith("http") else f"https://{url}"
    shown = url.rpartition("@")[2]
    problems = [
        f"hosts-toml-unused: cannot send the header {name} to {shown}, which {where} asks for: Authorization alone is sent"
        for name in sorted(headers)
        if name != "authorization"
    ]
    if len(authorities) > 1 or len(pairs) > 1:
        problems.append(
            f"hosts-toml-unused: cannot use more than the first ca and client of {shown} in {where};"
            " put several authorities into one file"
        )
    try:
        endpoint = _endpoint(url, override=override)
    except BadInput as error:
        return _Host(problems=(f"hosts-toml-unused: {error} (in {where})",))
    cert, key = pairs[0] if pairs else ("", "")
    return _Host(
        name=endpoint.host,
        endpoint=replace(
            endpoint,
            # Who writes a login beside a plain http:// means it to be sent so.
            insecure=unchecked or ("authorization" in headers and _is_plain_elsewhere(endpoint)),
            ca_file=authorities[0] if authorities else "",
            client_cert=cert,
            client_key=key,
        ),
        pull=not capabilities or "pull" in capabilities,
        # A file that says nothing was not written to trust a mirror with what tags mean; one that names it was.
        resolve="resolve" in capabilities,
        referrers="referrers" in capabilities,
        authorization=headers.get("authorization", ""),
        problems=tuple(problems),
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
