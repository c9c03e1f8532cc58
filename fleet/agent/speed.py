"""How fast a mirror gives bytes: a few megabytes of one layer, seldom, for the history of its health."""

import asyncio

from fleet.clock import Clock
from fleet.errors import AuthNeeded, BadInput, RegistryError, RegistryUnreachable
from fleet.images.digest import Digest
from fleet.images.platform import Platform
from fleet.images.reference import Reference
from fleet.registry.client import RegistryClient
from fleet.registry.manifest import Descriptor, Manifest

MOST_BYTES = 4 * 1024 * 1024
"""What is asked for: enough to be past a connection's slow start, little enough for a slow line."""
LEAST_BYTES = 256 * 1024
"""Of less no speed is told: the first packets would be most of it."""
WITHIN_S = 5.0
"""How long bytes are counted; what came by then tells."""
EVERY_S = 24 * 3600.0
"""How often one mirror is measured by one host: looks come every hour, and their bytes are for nothing else."""


class Speeds:
    """Measures each mirror once in a while; belongs to one thread."""

    def __init__(self, clock: Clock) -> None:
        """Know nothing yet."""
        self._clock = clock
        self._measured: dict[str, float] = {}

    async def measure(
        self, mirror: str, client: RegistryClient, reference: Reference, digest: Digest, platform: Platform
    ) -> int | None:
        """Return bytes a second of *mirror*, None where it is not due, has no layer of the size, or does not give it."""
        last = self._measured.get(mirror)
        if last is not None and self._clock.monotonic() - last < EVERY_S:
            return None
        self._measured[mirror] = self._clock.monotonic()
        try:
            layer = await _layer(client, reference.repository, digest, platform)
            return await _bytes_per_s(client, reference.repository, layer, self._clock) if layer else None
        except (AuthNeeded, BadInput, RegistryError, RegistryUnreachable):
            return None  # the look itself tells how the mirror is


async def _layer(client: RegistryClient, repository: str, digest: Digest, platform: Platform) -> Descriptor | None:
    """Return the largest layer of the image, which must have something to measure."""
    found: Manifest = await client.manifest(repository, digest)
    if found.is_index:
        entry = found.choose(platform)
        if entry is None:
            return None
        found = await client.manifest(repository, entry.digest)
    layer = max((blob for blob in found.blobs if not blob.urls), key=lambda blob: blob.size, default=None)
    return layer if layer is not None and layer.size >= LEAST_BYTES else None


async def _bytes_per_s(client: RegistryClient, repository: str, layer: Descriptor, clock: Clock) -> int | None:
    """Return how fast the begin of *layer* comes, counted from its first bytes on, which are not counted themselves."""
    begun, got = 0.0, 0
    headers = {"Range": f"bytes=0-{min(layer.size, MOST_BYTES) - 1}"}
    async with client.open("GET", "blobs", repository, str(layer.digest), headers=headers) as answer:
        if answer.status not in (200, 206):
            return None
        try:
            async with asyncio.timeout(WITHIN_S):
                async for chunk in answer.chunks():
                    if not begun:
                        begun = clock.monotonic()
                        continue
                    got += len(chunk)
                    if got >= MOST_BYTES:
                        break
        except TimeoutError:
            pass
    took_s = clock.monotonic() - begun
    return round(got / took_s) if got >= LEAST_BYTES and took_s > 0 else None
