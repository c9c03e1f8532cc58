"""Which proxy a request takes, by the rules that Docker's own programs (Go's ``httpproxy``) follow.

Python's rules differ: they know no networks, and match a name without its dot.
"""

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from fleet.errors import BadInput
from fleet.registry.address import ip_of, is_loopback, origin_of

_WITH_PORT = re.compile(r"(\[[^\]]*\]|[^:]*):(\d*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxies:
    """The proxies of this process's environment; made without arguments, it names none."""

    http: str = ""
    https: str = ""
    no_proxy: str = ""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Read ``HTTP_PROXY``, ``HTTPS_PROXY`` and ``NO_PROXY``, in capitals before small letters."""
        env = os.environ if environ is None else environ
        names = ("http_proxy", "https_proxy", "no_proxy")
        http, https, no_proxy = (env.get(name.upper()) or env.get(name) or "" for name in names)
        return cls(http=http, https=https, no_proxy=no_proxy)

    def for_url(self, url: str) -> str | None:
        """Return the proxy's URL for *url*, None to go straight; raise BadInput for a proxy that is no URL."""
        scheme, host, port = origin_of(url)
        proxy = self.https if scheme == "https" else self.http
        if not proxy or is_loopback(_bracketed(host)) or self._direct(host, str(port)):
            return None
        return _proxy_url(proxy)

    def _direct(self, host: str, port: str) -> bool:
        entries = (entry.strip().lower() for entry in self.no_proxy.split(","))
        return any(_matches(entry, host.lower(), port) for entry in entries if entry)

    def __repr__(self) -> str:
        """Hide the proxies themselves: their URLs may hold passwords."""
        return f"Proxies(http={'set' if self.http else 'none'}, https={'set' if self.https else 'none'})"


def _matches(entry: str, host: str, port: str) -> bool:
    """Tell whether one *entry* of NO_PROXY covers *host* and *port*."""
    if entry == "*":
        return True
    address = ip_of(_bracketed(host))
    if "/" in entry:
        return address is not None and _in_network(entry, address)
    split = _WITH_PORT.fullmatch(entry)
    name, wanted = (split[1], split[2]) if split else (entry, "")
    if not name or (wanted and wanted != port):
        return False
    own = ip_of(_bracketed(name))
    if own is not None:
        return own == address
    return _covers(name.removeprefix("*") if name.startswith("*.") else name, host)


def _covers(name: str, host: str) -> bool:
    """Tell whether *host* is *name* or below it; a leading dot leaves the name itself out."""
    return host.endswith(name) if name.startswith(".") else host == name or host.endswith(f".{name}")


def _in_network(entry: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    try:
        return address in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return False


def _bracketed(host: str) -> str:
    """Return *host* so that a bare IPv6 address is not read as host and port."""
    return f"[{host}]" if host.count(":") > 1 and not host.startswith("[") else host


def _proxy_url(proxy: str) -> str:
    url = proxy if "://" in proxy else f"http://{proxy}"
    parts = urlsplit(url)
    if parts.scheme.startswith("socks"):
        raise BadInput(
            "cannot use the proxy in HTTP_PROXY or HTTPS_PROXY: it is one for SOCKS, which Fleet does not speak; name one for"
            " HTTP (http://host:port), or the hosts that are reached without it in NO_PROXY"
        )
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadInput("cannot use the proxy in HTTP_PROXY or HTTPS_PROXY; expected http://host:port")
    return url
