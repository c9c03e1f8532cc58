"""Images of the in-memory engine: names that move from one image to another, and how a container of each behaves."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from fleet.errors import BadInput, EngineError
from fleet.images.reference import Reference

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """What the program of a container does."""

    health: str = "healthy"
    """What its HEALTHCHECK, if it has one, comes to: ``healthy``, ``unhealthy`` or ``starting`` for ever."""
    health_after_s: float = 1.0
    exits_after_s: float | None = None
    """When it ends by itself; None: never."""
    exit_code: int = 0
    stop_takes_s: float = 0.0
    """How long it takes to end when it is told to."""
    start_error: str = ""
    """Why the engine cannot start it; empty: it can."""


STEADY = Behaviour()


@dataclass(slots=True, kw_only=True)
class MemoryImage:
    """One image; its names may go and leave it."""

    id: str
    config: dict[str, Any]
    behaviour: Behaviour
    architecture: str = "amd64"
    tags: set[str] = field(default_factory=set)
    """Familiar names with a tag: ``nginx:1.27``."""
    digests: set[str] = field(default_factory=set)
    """Familiar names with a digest."""

    def inspect(self) -> dict[str, Any]:
        """Return what the engine's API says of it."""
        return {
            "Id": self.id,
            "RepoTags": sorted(self.tags),
            "RepoDigests": sorted(self.digests),
            "Config": as_json(self.config),
            "Architecture": self.architecture,
            "Os": "linux",
        }


class ImageStore:
    """All images, found by id or by name."""

    def __init__(self) -> None:
        """Hold no image."""
        self.images: dict[str, MemoryImage] = {}

    def add(self, reference: str, config: Mapping[str, Any], behaviour: Behaviour, digest: str = "") -> MemoryImage:
        """Build an image from what makes it, and let *reference*, which may be empty, name it."""
        name = Reference.parse(reference).with_tag_latest() if reference else None
        seed = repr((sorted(config.items(), key=lambda row: row[0]), behaviour, digest, reference, len(self.images)))
        image = MemoryImage(id=f"sha256:{_hash(seed)}", config=as_json(dict(config)), behaviour=behaviour)
        self.images[image.id] = image
        if name is not None:
            image.digests.add(f"{name.familiar_name}@{digest or 'sha256:' + _hash(image.id)}")
            self.name(image, name)
        return image

    def name(self, image: MemoryImage, reference: Reference) -> None:
        """Let the tag of *reference* name *image*, and no other any longer."""
        tagged = f"{reference.familiar_name}:{reference.tag_or_latest}"
        for other in self.images.values():
            other.tags.discard(tagged)
        image.tags.add(tagged)

    def find(self, image: str) -> MemoryImage | None:
        """Return the image by id, prefix of an id, or name."""
        if image in self.images:
            return self.images[image]
        try:
            reference = Reference.parse(image)
        except BadInput:
            return self._by_prefix(image)
        wanted = reference.without_digest().with_tag_latest().familiar
        if reference.digest is not None:
            wanted = f"{reference.familiar_name}@{reference.digest}"
        named = [one for one in self.images.values() if wanted in one.tags | one.digests]
        return named[0] if named else self._by_prefix(image)

    def remove(self, image: str, used_by: Mapping[str, str]) -> None:
        """Remove a name, or the image with its last one; *used_by* tells which container uses which image id."""
        found = self.find(image)
        if found is None:
            raise EngineError(f"cannot remove image {image}: No such image: {image}", status=404)
        if image in found.digests and (found.tags or len(found.digests) > 1):
            found.digests.discard(image)
            return
        by_id = found.id.removeprefix("sha256:").startswith(image.removeprefix("sha256:"))
        if not by_id and len(found.tags) > 1:
            found.tags.discard(Reference.parse(image).with_tag_latest().familiar)
            return
        if found.id in used_by:
            raise EngineError(f"cannot remove image {image}: it is used by container {used_by[found.id]}", status=409)
        if by_id and len(found.tags) > 1:
            raise EngineError(f"cannot remove image {image}: it is referenced in multiple repositories", status=409)
        del self.images[found.id]

    def _by_prefix(self, image: str) -> MemoryImage | None:
        digits = image.removeprefix("sha256:")
        found = [one for one in self.images.values() if one.id.removeprefix("sha256:").startswith(digits)]
        return found[0] if len(found) == 1 else None


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def as_json(value: T) -> T:
    """Return *value* as it comes out of an engine: through JSON, so that nothing of it is shared with who is told."""
    return cast(T, json.loads(json.dumps(value)))
