"""Reads a mirror's URL into an endpoint, by the shape in which the mirror keeps other registries' repositories (pure)."""

from enum import StrEnum
from urllib.parse import SplitResult, urlsplit

from fleet.errors import BadInput
from fleet.mirrors.source import Endpoint

_SCHEMES = ("http", "https")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_API = "/v2"


class Shape(StrEnum):
    """What the path of a mirror's URL means."""

    PLAIN = "plain"
    """It stands before ``/v2``, as the Docker daemon reads it; what follows a ``/v2/`` within it is a prefix."""
    ARTIFACTORY = "artifactory"
    """It stands before ``/v2``: ``https://art.lan/artifactory/api/docker/KEY``."""
    HARBOR = "harbor"
    """It stands between ``/v2/`` and the repository: Harbor, ECR, Nexus by path, Quay, GitLab."""
    NS = "ns"
    """As plain, and ``?ns=`` names the origin, as containerd's and spegel's mirrors expect."""


def parse_endpoint(url: str, *, shape: Shape = Shape.PLAIN, insecure: bool = False, ca_file: str = "") -> Endpoint:
    """Return the endpoint that *url* means in *shape*; raise BadInput for what the Docker daemon refuses as a mirror."""
    parts = _checked(url)
    path = _without_end(parts.path)
    base, prefix = path, ""
    if shape is Shape.HARBOR:
        base, prefix = "", path.removeprefix(f"{_API}/").strip("/")
    elif shape is not Shape.ARTIFACTORY:
        base, _, prefix = path.partition(f"{_API}/")
    return Endpoint(
        scheme=parts.scheme,
        host=_host(parts),
        base_path=base.rstrip("/"),
        repo_prefix=f"{prefix.strip('/')}/" if prefix.strip("/") else "",
        ns_query=shape is Shape.NS,
        insecure=insecure,
        ca_file=ca_file,
    )


def daemon_endpoint(url: str, *, insecure: bool = False) -> Endpoint:
    """Return the endpoint that the Docker daemon makes of an entry of ``registry-mirrors``: the path is the base path."""
    return parse_endpoint(url, shape=Shape.ARTIFACTORY, insecure=insecure)


def write_endpoint(endpoint: Endpoint) -> tuple[str, Shape]:
    """Return URL and shape from which ``parse_endpoint`` makes *endpoint* again."""
    root = f"{endpoint.scheme}://{endpoint.host}{endpoint.base_path}"
    prefix = endpoint.repo_prefix.rstrip("/")
    if endpoint.ns_query:
        return f"{root}{_API}/{prefix}" if prefix else root, Shape.NS
    if prefix and not endpoint.base_path:
        return f"{root}/{prefix}", Shape.HARBOR
    if f"{_API}/" in f"{endpoint.base_path}/":
        return root, Shape.ARTIFACTORY
    return f"{root}{_API}/{prefix}" if prefix else root, Shape.PLAIN


def _checked(url: str) -> SplitResult:
    """Return the parts of *url* if the daemon would take it as a mirror."""
    shown = url.rpartition("@")[2].partition("?")[0][:200]
    try:
        parts = urlsplit(url.strip())
        port_is_number = parts.port is None or parts.port > 0
    except ValueError as error:
        raise BadInput(f"cannot use {shown!r} as a mirror: it is no URL") from error
    if parts.scheme not in _SCHEMES:
        raise BadInput(f"cannot use {shown!r} as a mirror; it must begin with http:// or https://")
    readable = url.strip().isprintable() and not any(c.isspace() for c in url.strip())
    if not parts.hostname or not port_is_number or not readable:
        raise BadInput(f"cannot use {shown!r} as a mirror: it names no host")
    if parts.username is not None or parts.password is not None:
        raise BadInput(
            f"cannot use {shown!r} with a user or password in it; log in on the hosts with docker login instead"
        )
    if "?" in url or "#" in url:
        raise BadInput(f"cannot use {shown!r} as a mirror: it has a query or a fragment")
    return parts


def _host(parts: SplitResult) -> str:
    """Return host and port in lower case, the port left out where it is the scheme's own."""
    return parts.netloc.lower().removesuffix(_DEFAULT_PORTS[parts.scheme])


def _without_end(path: str) -> str:
    """Return *path* without slashes at its end and without the ``/v2`` that clients append by themselves."""
    path = path.rstrip("/")
    return path.removesuffix(_API).rstrip("/") if path.endswith(_API) else path
