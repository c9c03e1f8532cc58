"""Who may be shown what: whether a URL that a registry names may be asked at all, and with its credentials (pure)."""

import ipaddress
import re
import socket
from collections.abc import Collection
from urllib.parse import urlsplit

from fleet.registry.address import ip_of, is_loopback, origin_of

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
_METADATA = tuple(
    map(ipaddress.ip_network, ("fd00:ec2::/32", "fd20:ce::254", "100.100.100.200", "168.63.129.16", "192.0.0.192"))
)
"""Where clouds tell their machines secrets, besides link-local addresses: AWS and Google by IPv6, Alibaba, Azure, Oracle."""
_NUMBERS = re.compile(r"[0-9a-fx.]+", re.IGNORECASE)
_SECOND_LEVELS = frozenset({"ac", "co", "com", "edu", "gob", "gov", "go", "gv", "ltd", "ne", "net", "or", "org"})
"""Labels under which countries register names: ``example.co.uk`` is a domain, ``co.uk`` is none."""
_SHARED = frozenset(
    {"amazonaws.com", "azurecr.io", "cloudfront.net", "github.io", "herokuapp.com", "jfrog.io", "pkg.dev", "run.app"}
)
"""Domains below which each name belongs to another customer."""


def same_server(one: str, other: str) -> bool:
    """Tell whether two URLs agree in scheme, host and port."""
    return origin_of(one) == origin_of(other)


def may_ask(endpoint_url: str, url: str) -> bool:
    """Tell whether a server at *endpoint_url* may send this client to *url*.

    Never from https to http, never to other schemes, and from elsewhere never to this machine or its link-local
    neighbours, where cloud machines find their metadata. Nor with a user in the URL, who would be shown there in our name
    (RFC 9110, 4.2.4).
    """
    scheme, host, _ = origin_of(url)
    ours, own_host, _ = origin_of(endpoint_url)
    if not host or scheme not in ("http", "https") or (ours == "https" and scheme == "http"):
        return False
    if urlsplit(url).username is not None:
        return False
    return host == own_host or is_loopback(own_host) or not is_private_to_machine(host)


def may_see_credentials(endpoint_url: str, realm: str, trusted: Collection[str] = ()) -> bool:
    """Tell whether the token server *realm* may be shown the credentials of the registry at *endpoint_url*.

    It may over https, on the same host, the same registrable domain, or a host in *trusted*; over http only
    where the registry itself is asked over http and the host is the same.
    """
    scheme, host, _ = origin_of(realm)
    ours, own_host, _ = origin_of(endpoint_url)
    if not may_ask(endpoint_url, realm):
        return False
    if scheme == "http":
        return ours == "http" and host == own_host
    return host == own_host or host in trusted or (_domain(host) != "" and _domain(host) == _domain(own_host))


def _domain(host: str) -> str:
    """Return the domain that somebody registered, empty for an address or a single label."""
    labels = host.lower().split(".")
    if len(labels) < 2 or ip_of(f"[{host}]" if ":" in host else host):
        return ""
    size = 3 if len(labels[-1]) == 2 and labels[-2] in _SECOND_LEVELS else 2
    domain = ".".join(labels[-size:])
    return host.lower() if domain in _SHARED or len(labels) < size else domain


def is_private_to_machine(name: str) -> bool:
    """Tell whether *name*, a host without its port, is spelled as this machine or as its cloud's place for secrets."""
    address = _address(name)
    if address is None:
        return name.lower() == "localhost" or name.lower().endswith(".localhost")
    return address.is_loopback or is_for_machine_alone(address)


def is_for_machine_alone(address: IPAddress) -> bool:
    """Tell whether what answers at *address* tells whoever asks from this machine: link-local, or a cloud's metadata."""
    return address.is_link_local or address.is_unspecified or any(address in network for network in _METADATA)


def address_of(text: str) -> IPAddress | None:
    """Return the IP address that *text* is, an IPv4 one that is wrapped in IPv6 as what it is; None for a name."""
    try:
        address = ipaddress.ip_address(text.strip("[]").partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _address(name: str) -> IPAddress | None:
    """Return the address that the system makes of *name*, which takes ``127.1`` and ``2852039166`` too."""
    if not _NUMBERS.fullmatch(name):
        return address_of(name)
    try:
        return ipaddress.IPv4Address(socket.inet_aton(name))
    except OSError:
        return None
