"""A client that asks the gateway as a Docker engine does: ping, HEAD and GET of manifests, then blobs, a few at a time."""

import base64
import hashlib
import http.client
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from fleet.engine.protocol import PullEvent
from fleet.errors import EngineError
from fleet.images.reference import Reference
from fleet.registry.manifest import ACCEPT
from fleet.testing.engine import MemoryEngine
from fleet.testing.engine_images import STEADY, MemoryImage

PARALLEL = 3
"""What a Docker daemon does by default."""


class PullFailed(Exception):
    """The engine would report this pull as failed."""


@dataclass(slots=True)
class Dock:
    """One engine's way to one registry."""

    host: str
    auth: Mapping[str, str]
    blobs: dict[str, bytes] = field(default_factory=dict)
    """Everything that was received, proved."""

    @property
    def proof(self) -> dict[str, str]:
        """The header by which the engine shows the secret."""
        pair = f"{self.auth.get('username', '')}:{self.auth.get('password', '')}"
        return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()} if self.auth else {}

    def ask(self, method: str, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body; raise PullFailed where the body ends early."""
        connection = http.client.HTTPConnection(self.host, timeout=60)
        try:
            connection.request(method, path, headers={"Accept": ACCEPT, **self.proof, **headers})
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        except (http.client.HTTPException, OSError) as error:
            raise PullFailed(f"{path}: {error!r}") from error
        finally:
            connection.close()

    def pull(self, name: str, digest: str) -> dict[str, Any]:
        """Pull an image by its digest and return its manifest."""
        if self.ask("GET", "/v2/")[0] != 200:
            raise PullFailed("ping")
        manifest = self.manifest(name, digest)
        if "manifests" in manifest:
            entry = next(e for e in manifest["manifests"] if e["platform"]["architecture"] == "amd64")
            manifest = self.manifest(name, entry["digest"])
        wanted = list({d["digest"]: d for d in (manifest["config"], *manifest["layers"])})
        with ThreadPoolExecutor(PARALLEL) as pool:
            list(pool.map(lambda blob: self.get(f"/v2/{name}/blobs/{blob}", blob), wanted))
        return manifest

    def manifest(self, name: str, digest: str) -> dict[str, Any]:
        """Return a manifest, asked for by HEAD first."""
        path = f"/v2/{name}/manifests/{digest}"
        status, headers, _ = self.ask("HEAD", path)
        if status != 200 or headers["docker-content-digest"] != digest:
            raise PullFailed(f"HEAD {path}: {status}")
        document: dict[str, Any] = json.loads(self.get(path, digest))
        assert headers["content-type"] == document["mediaType"]
        return document

    def get(self, path: str, digest: str) -> bytes:
        """Return proved bytes."""
        status, _, body = self.ask("GET", path)
        if status != 200:
            raise PullFailed(f"GET {path}: {status}")
        assert hashlib.sha256(body).hexdigest() == digest.partition(":")[2], "a wrong byte reached the engine"
        self.blobs[digest] = body
        return body


def pulling(engine: MemoryEngine, reference: str, auth: Mapping[str, str] | None, platform: str) -> Iterator[PullEvent]:
    """Be the pull of an in-memory engine: fetch by real requests, then add the image under its configuration's digest."""
    named = Reference.parse(reference)
    yield PullEvent(status="Pulling from " + named.repository)
    try:
        manifest = Dock(named.registry, auth or {}).pull(named.repository, str(named.digest))
    except PullFailed as error:
        raise EngineError(f"cannot pull {reference}: {error}") from error
    image_id = manifest["config"]["digest"]
    images = engine.world.images.images
    image = images.setdefault(image_id, MemoryImage(id=image_id, config={}, behaviour=STEADY))
    image.digests.add(f"{named.familiar_name}@{named.digest}")
    yield PullEvent(status="Download complete")
