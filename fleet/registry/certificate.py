"""Until when a server's certificate holds, whether it is trusted or not."""

import socket
from datetime import datetime

import httpx2
from cryptography import x509

from fleet.registry.address import origin_of
from fleet.registry.tls import unchecked

LIMIT_S = 5.0
"""The most that connecting, and each answer, may take."""


def not_after(url: str, proxy: str | None) -> datetime | None:
    """Return when the certificate of the server of *url* expires; None where it shows none.

    No credential is sent: an expired certificate, or somebody else's, is just what is looked for. Through a *proxy* one
    HEAD is asked, since the tunnel is the HTTP library's; without, nothing is said at all.
    """
    scheme, host, port = origin_of(url)
    if scheme != "https":
        return None
    try:
        raw = _by(proxy, url) if proxy else _straight(host, port)
        return x509.load_der_x509_certificate(raw).not_valid_after_utc if raw else None
    except (OSError, ValueError, httpx2.HTTPError, httpx2.InvalidURL):
        return None


def _straight(host: str, port: int) -> bytes | None:
    with (
        socket.create_connection((host, port), timeout=LIMIT_S) as plain,
        unchecked().wrap_socket(plain, server_hostname=host) as tls,
    ):
        return tls.getpeercert(binary_form=True)


def _by(proxy: str, url: str) -> bytes | None:
    transport = httpx2.HTTPTransport(verify=unchecked(), proxy=proxy, trust_env=False)
    with (
        httpx2.Client(transport=transport, timeout=LIMIT_S, trust_env=False) as client,
        client.stream("HEAD", url) as response,
    ):
        shown = response.extensions["network_stream"].get_extra_info("ssl_object")
        return shown.getpeercert(binary_form=True) if shown is not None else None
