"""Proofs that who speaks to a receiver knows its secret (pure): by a signature where the sender can sign, else by the secret itself.

Only the SHA-256 of the secret is known here. A secret is longer than a block of SHA-256, so that its hash is the very key that
HMAC signs with.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping

SECRET = "secret"  # noqa: S105
"""The parameter of the URL that holds the secret, for senders that can set no header."""

_JFROG = "x-jfrog-event-auth"


def is_proved(sha256: str, headers: Mapping[str, str], given: str, body: bytes) -> bool:
    """Tell whether *headers*, with names in lower case, or the secret *given* in the URL prove it; *sha256* is in hex.

    Every comparison takes as long as any other. GitHub, Gitea and Forgejo sign; Artifactory does where it is told to, and
    else sends the secret in the same header; GitLab has one of its own; Harbor and the distribution registry send the header
    ``Authorization`` as they were told.
    """
    key = bytes.fromhex(sha256)
    signed = hmac.new(key, body, hashlib.sha256).hexdigest()
    signatures = (
        headers.get("x-hub-signature-256", "").removeprefix("sha256="),
        headers.get("x-gitea-signature", ""),
        headers.get(_JFROG, ""),
    )
    presented = (
        given,
        headers.get("x-gitlab-token", ""),
        headers.get(_JFROG, ""),
        _presented(headers.get("authorization", "")),
    )
    found = [hmac.compare_digest(signed.encode(), each.encode()) for each in signatures]
    found += [hmac.compare_digest(key, hashlib.sha256(each.encode()).digest()) for each in presented]
    return any(found)


def _presented(authorization: str) -> str:
    """Return the secret of a header: alone, as a bearer token, or as the password of a login."""
    scheme, _, rest = authorization.partition(" ")
    match scheme.lower():
        case "bearer":
            return rest.strip()
        case "basic":
            try:
                return base64.b64decode(rest, validate=True).decode().partition(":")[2]
            except ValueError:  # which errors of base64 and UTF-8 are
                return ""
        case _:
            return authorization.strip()
