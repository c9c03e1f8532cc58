"""Where a registry answers, and the URLs of what it holds."""

import ipaddress
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlencode, urlsplit

from fleet.images.reference import DOCKER_HUB

Kind = Literal["manifests", "blobs", "referrers", "tags"]
"""What stands after the repository in a URL of the distribution API."""

_HUB_HOST = "registry-1.docker.io"
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """``{scheme}://{host}{base_path}/v2/{repo_prefix}{repository}/...[?ns=...]``, and how far its TLS is trusted."""

    scheme: str
    """``http`` or ``https``."""
    host: str
    """Host and, where it is not the scheme's own, port."""
    base_path: str = ""
    """What stands before ``/v2``; empty, or begins with a slash and does not end in one."""
    repo_prefix: str = ""
    """What stands between ``/v2/`` and the repository; empty, or ends in a slash."""
    ns: str = ""
    """The origin registry that is named in ``?ns=``, as containerd does; empty for none."""
    insecure: bool = False
    """Whether the certificate of an https address goes unchecked."""
    ca_file: str = ""
    """A PEM file of further certificate authorities, or empty."""
    client_cert: str = ""
    """A PEM file of the certificate that is shown there, or empty."""
    client_key: str = ""
    """The PEM file of its key; empty: it is in the certificate's own file."""
    http_fallback: bool = False
    """Whether plain http is tried where TLS fails, as Docker does for registries listed as insecure."""
    auth: str = ""
    """Who to be there: the name of a login of this machine, ``none``, or empty for what Docker's configuration has."""
    proxy: str = ""
    """By which proxy: its URL without a user, its name on this machine, ``none``, or empty for the environment's."""

    def url(self, repository: str, kind: Kind, tail: str) -> str:
        """Return the URL of *tail* (a tag, a digest, ``list``) among the *kind* of *repository*."""
        return f"{self._root}{self.path_of(repository)}/{kind}/{tail}{self._query}"

    def path_of(self, repository: str) -> str:
        """Return the repository as this address names it, which is also what token scopes name."""
        return f"{self.repo_prefix}{repository}"

    @property
    def ping_url(self) -> str:
        """The URL that tells whether a registry answers here at all."""
        return f"{self._root}{self._query}"

    @property
    def _root(self) -> str:
        return f"{self.scheme}://{self.host}{self.base_path}/v2/"

    @property
    def _query(self) -> str:
        return f"?{urlencode({'ns': self.ns})}" if self.ns else ""

    def __str__(self) -> str:
        """Return scheme, host and paths as a person writes them; it holds no credential."""
        return f"{self.scheme}://{self.host}{self.base_path}" + (
            f"/{self.repo_prefix[:-1]}" if self.repo_prefix else ""
        )


def origin_address(registry: str, *, insecure: Collection[str] = (), ca_file: str = "") -> Address:
    """Return the address of the registry that references name as *registry*.

    Loopback registries, and those in *insecure* (names with port, or networks as ``10.0.0.0/8``), are asked over TLS
    without checking the certificate and then over plain http, as Docker asks them; all others over checked TLS only.
    """
    host = _HUB_HOST if registry == DOCKER_HUB else registry
    trusting = is_loopback(registry) or _listed(registry, insecure)
    return Address(scheme="https", host=host, insecure=trusting, http_fallback=trusting, ca_file=ca_file)


def origin_of(url: str) -> tuple[str, str, int]:
    """Return scheme, host name and port of *url*: requests that agree in all three go to the same server.

    A URL that cannot be read has none of them.
    """
    try:
        parts = urlsplit(url)
        return parts.scheme, (parts.hostname or "").rstrip("."), parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)
    except ValueError:
        return "", "", 0


def host_name(host: str) -> str:
    """Return *host* without its port, in lower case; empty for what is no host."""
    return origin_of(f"//{host}")[1]


def ip_of(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the IP address that *host* (with or without port) is spelled as, None for a name."""
    try:
        return ipaddress.ip_address(host_name(host))
    except ValueError:
        return None


def is_loopback(host: str) -> bool:
    """Tell whether *host* (with or without port) is spelled as this machine itself."""
    return names_loopback(host_name(host))


def names_loopback(name: str) -> bool:
    """Tell whether *name*, a host without a port or an address without brackets, is this machine itself."""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _listed(registry: str, insecure: Collection[str]) -> bool:
    """Tell whether *registry* stands in *insecure* by its exact name or by a network that holds its address."""
    address = ip_of(registry)
    return registry in insecure or any(address and address in network for network in map(_network, insecure) if network)


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False) if "/" in text else None
    except ValueError:
        return None
