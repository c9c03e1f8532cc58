"""What policies name and machines hold: logins and proxies, by a name that says nothing to others.

A login is a folder with Docker's own ``config.json`` (``docker --config FOLDER login HOST`` writes it), so that each of its
credentials is for one host alone, whoever names it. A proxy is a URL, and what is in it is shown to that proxy alone.
So nobody who may write a policy can have a secret of a machine sent to a server of their own.
"""

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

from fleet.errors import BadInput
from fleet.registry.address import Address, is_loopback
from fleet.registry.credentials import CredentialSource, DockerConfig, NoCredentials

LOGINS = Path("/etc/fleet/logins")
"""Below it, a folder by name holds a ``config.json``."""
PROXIES = Path("/etc/fleet/proxies")
"""Below it, a file by name holds the URL of a proxy, with its user and password where it wants them."""
PROXY_VARIABLE = "FLEET_PROXY_"
"""Before the name in capitals, with underscores for dashes: the environment comes before the file."""
NONE = "none"
"""The name that means: nobody, no proxy."""
_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
_LONGEST_URL = 2000


def is_name(text: str) -> bool:
    """Tell whether *text* may name a login or a proxy. What tokens look like is no name: capitals, underscores, length."""
    return _NAME.fullmatch(text) is not None


def is_proxy_url(text: str) -> bool:
    """Tell whether *text* is the URL of a proxy that can be used, with or without a user in it."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    plain = parts.path in ("", "/") and not (parts.query or parts.fragment)
    printable = text.isascii() and text.isprintable() and " " not in text
    return parts.scheme in ("http", "https") and bool(parts.hostname) and port != 0 and plain and printable


def has_user(url: str) -> bool:
    """Tell whether a user or a password stands in *url*."""
    return "@" in url.partition("://")[2].partition("/")[0]


def credentials_of(address: Address, usual: CredentialSource) -> CredentialSource:
    """Return who *address* is shown: a login by its name, nobody, or the machine's *usual* ones.

    Nobody, too, where a proxy that the machine does not know by a name could read along or pose as the server: who may
    write a policy may not get a login to see by way of a proxy of their own. And nobody where all between here and there
    could read along, unless it was said outright that they may.
    """
    if address.auth == NONE or overheard(address) or exposed(address):
        return NoCredentials()
    return DockerConfig(LOGINS / address.auth / "config.json") if address.auth else usual


def overheard(address: Address) -> bool:
    """Tell whether a proxy of which only the policy tells is between here and a server that is not proved by TLS."""
    unproved = address.scheme == "http" or address.insecure or address.http_fallback
    return "://" in address.proxy and unproved


def exposed(address: Address) -> bool:
    """Tell whether a login would go to another machine in plain http, without a word that this is meant: the login may have
    been made for the same server's https.
    """
    return address.scheme == "http" and not (address.insecure or address.http_fallback or is_loopback(address.host))


def login_remedy(address: Address) -> str:
    """Return what a person does about a server that refuses what it is shown."""
    if address.auth == NONE:
        return 'its policy says auth = "none"'
    if overheard(address):
        return f"a login is not shown by way of a proxy that could read it; name the proxy in {PROXIES}, or use https"
    if exposed(address):
        return "a login is not shown in plain http; use https, or say insecure = true of this mirror, and whoever listens reads it"
    if address.auth:
        return f"log in with docker --config {LOGINS / address.auth} login {address.host}"
    return f"log in to {address.host} with docker login"


def proxy_url(named: str) -> str | None:
    """Return the URL of the proxy that *named* means, a URL or a name; None: none is used.

    Raise BadInput for a name of which this machine knows nothing, or nothing usable; what it knows is never repeated.
    """
    if named == NONE:
        return None
    if "://" in named:
        return named
    variable, file = PROXY_VARIABLE + named.upper().replace("-", "_"), PROXIES / named
    told = os.environ.get(variable, "").strip() or _first_line(file)
    if not told:
        raise BadInput(f"cannot find the proxy {named} here; write its URL into {file} or into {variable}")
    if not is_proxy_url(told):
        raise BadInput(f"cannot use the proxy {named}; expected http://host:port in {file} or {variable}")
    return told


def _first_line(file: Path) -> str:
    try:
        with file.open() as opened:
            return opened.readline(_LONGEST_URL).strip()
    except (OSError, UnicodeDecodeError):
        return ""
