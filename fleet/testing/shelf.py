"""What the scriptable registry holds, in memory: blobs, manifests and tags by repository."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from fleet.errors import BadInput
from fleet.images.digest import Digest
from fleet.images.platform import Platform
from fleet.registry.manifest import OCI_INDEX
from fleet.testing.images import LINUX_AMD64, BuiltManifest, build_image, build_index


@dataclass(slots=True)
class Repository:
    """One repository: its blobs, its manifests with their media types, and what each tag named, newest last."""

    blobs: dict[Digest, bytes] = field(default_factory=dict)
    manifests: dict[Digest, tuple[str, bytes]] = field(default_factory=dict)
    tags: dict[str, list[Digest]] = field(default_factory=dict)


class Shelf:
    """All repositories of one registry."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.knows_referrers = False
        """Whether it tells what refers to a manifest; many registries do not."""

    def repository(self, name: str) -> Repository:
        """Return the repository *name*, made where it was not."""
        return self.repositories.setdefault(name, Repository())

    def add_blob(self, repository: str, content: bytes) -> Digest:
        """Put one blob there and return its digest."""
        digest = Digest.of(content)
        self.repository(repository).blobs[digest] = content
        return digest

    def add_manifest(self, repository: str, raw: bytes, media_type: str, *tags: str) -> Digest:
        """Put a manifest or index there under its digest and *tags*, and return the digest."""
        digest, place = Digest.of(raw), self.repository(repository)
        place.manifests[digest] = (media_type, raw)
        for tag in tags:
            named = place.tags.setdefault(tag, [])
            if named[-1:] != [digest]:
                named.append(digest)
        return digest

    def add(self, repository: str, built: BuiltManifest, *tags: str) -> Digest:
        """Put *built* and all below it there."""
        self.repository(repository).blobs.update(built.blobs)
        for child in built.children:
            self.add(repository, child)
        return self.add_manifest(repository, built.raw, built.media_type, *tags)

    def add_image(
        self,
        repository: str,
        tag: str,
        *,
        layers: Sequence[bytes] = (b"layer",),
        platforms: Sequence[Platform] = (LINUX_AMD64,),
        config: dict[str, object] | None = None,
        index: bool | None = None,
    ) -> Digest:
        """Build an image for each of *platforms*, tag it, and return the digest that the tag names.

        It is an index for several platforms, and for one where *index* says so.
        """
        images = [build_image(layers, platform=platform, config=config) for platform in platforms]
        many = len(images) > 1 if index is None else index
        return self.add(repository, build_index(images) if many else images[0], tag)

    def manifest(self, repository: str, tail: str, *, stale: bool = False) -> tuple[Digest, str, bytes] | None:
        """Return digest, media type and bytes of what *tail*, a tag or digest, names; *stale*: named before."""
        place = self.repositories.get(repository, Repository())
        named = place.tags.get(tail)
        digest = (named[-2] if stale and len(named) > 1 else named[-1]) if named else _digest(tail)
        found = place.manifests.get(digest) if digest else None
        return (digest, *found) if digest and found else None

    def referrers(self, repository: str, tail: str) -> dict[str, object]:
        """Return the index of the manifests whose ``subject`` has the digest *tail*."""
        held = self.repositories.get(repository, Repository()).manifests.items()
        return {
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "manifests": [
                {"mediaType": media_type, "size": len(raw), "digest": str(digest)}
                for digest, (media_type, raw) in held
                if (json.loads(raw).get("subject") or {}).get("digest") == tail
            ],
        }

    def blob(self, repository: str, tail: str) -> bytes | None:
        """Return the blob whose digest is *tail*."""
        digest = _digest(tail)
        return self.repositories.get(repository, Repository()).blobs.get(digest) if digest else None


def _digest(text: str) -> Digest | None:
    try:
        return Digest.parse(text)
    except BadInput:
        return None
