"""Where the scriptable registry gets what it does not hold, so that it can stand in front of any other."""

from urllib.parse import urlsplit

from fleet.errors import BadInput, FleetError
from fleet.images.digest import Digest
from fleet.registry.address import Address
from fleet.registry.client import RegistryClient
from fleet.registry.proxies import Proxies
from fleet.testing.distribution import Place
from fleet.testing.shelf import Shelf

BLOB_CAP_BYTES = 2 * 1024**3
"""Blobs are held in memory; a larger one is a slip in a test."""


class Upstream:
    """Another registry, asked once for each blob and manifest, and anew for each tag."""

    def __init__(self, url: str, *, ca_file: str = "") -> None:
        """Take scheme, host and port as a URL."""
        parts = urlsplit(url)
        address = Address(scheme=parts.scheme, host=parts.netloc, base_path=parts.path.rstrip("/"), ca_file=ca_file)
        self._client = RegistryClient(address, proxies=Proxies())

    async def fetch(self, place: Place, shelf: Shelf) -> None:
        """Put what *place* asks for on *shelf*; what the upstream does not give stays missing."""
        try:
            if place.kind == "manifests":
                await self._manifest(place, shelf)
            elif place.kind == "blobs" and shelf.blob(place.repository, place.tail) is None:
                await self._blob(place, shelf)
        except FleetError:
            return

    async def aclose(self) -> None:
        """Close the connections to it."""
        await self._client.aclose()

    async def _manifest(self, place: Place, shelf: Shelf) -> None:
        digest = _digest(place.tail)
        if digest and shelf.manifest(place.repository, place.tail):
            return
        manifest = await self._client.manifest(place.repository, digest or place.tail)
        shelf.add_manifest(place.repository, manifest.raw, manifest.media_type, *(() if digest else (place.tail,)))

    async def _blob(self, place: Place, shelf: Shelf) -> None:
        async with self._client.open("GET", "blobs", place.repository, place.tail) as answer:
            if answer.status == 200:
                shelf.add_blob(place.repository, await answer.read(BLOB_CAP_BYTES))


def _digest(text: str) -> Digest | None:
    try:
        return Digest.parse(text)
    except BadInput:
        return None
