"""A tiny image that the gateway itself holds: whether an engine can pull from here is tried, not guessed."""

import gzip
import hashlib
import hmac
import json
import secrets
import threading
from dataclasses import dataclass, field

from fleet.images.digest import Digest

CANARY_HOST = "canary.fleet.invalid"
"""A registry that can be nowhere (RFC 2606)."""
REPOSITORY = "canary"
USER = "fleet"
_EMPTY_TAR = bytes(1024)
_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_CONFIG = "application/vnd.docker.container.image.v1+json"
_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


@dataclass(slots=True, kw_only=True, eq=False)
class Canary:
    """One image for one try; no two have the same digest, so that an engine never has it already."""

    os: str
    architecture: str
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    asked: threading.Event = field(default_factory=threading.Event)
    """Set when its manifest was asked for with its secret."""
    _documents: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    digest: Digest = field(init=False)

    def __post_init__(self) -> None:
        """Make the image."""
        layer = gzip.compress(_EMPTY_TAR, mtime=0)
        config = {
            "architecture": self.architecture,
            "os": self.os,
            "config": {"Labels": {"fleet.canary": secrets.token_hex(8)}},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(_EMPTY_TAR).hexdigest()}"]},
            "history": [],
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": self._put(_CONFIG, json.dumps(config).encode()),
            "layers": [self._put(_LAYER, layer)],
        }
        self.digest = Digest.parse(str(self._put(_MANIFEST, json.dumps(manifest).encode())["digest"]))

    def proves(self, user: str, password: str) -> bool:
        """Tell whether a request shows this canary's secret."""
        return user == USER and hmac.compare_digest(password.encode(), self.secret.encode())

    def document(self, path: str) -> tuple[dict[str, str], bytes] | None:
        """Return headers and body of what is at *path*, whatever the repository's name; None for nothing."""
        if path in ("/v2", "/v2/"):
            return {"Content-Type": "application/json"}, b"{}"
        digest = path.rpartition("/")[2]
        if digest not in self._documents:
            return None
        if digest == str(self.digest):
            self.asked.set()
        kind, body = self._documents[digest]
        return {"Content-Type": kind, "Docker-Content-Digest": digest, "Content-Length": str(len(body))}, body

    def _put(self, kind: str, body: bytes) -> dict[str, object]:
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        self._documents[digest] = (kind, body)
        return {"mediaType": kind, "digest": digest, "size": len(body)}
