"""Manifests and indexes: what an image is made of, proved by its digest."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from fleet.errors import BadInput, RegistryError
from fleet.images.digest import Digest
from fleet.images.platform import Platform

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
ACCEPT = ", ".join((DOCKER_MANIFEST, DOCKER_INDEX, OCI_INDEX, OCI_MANIFEST, "*/*"))
"""What a Docker engine accepts: another list makes some registries answer with another manifest, so another digest."""
MANIFEST_CAP_BYTES = 4 * 1024 * 1024
"""The largest manifest that Docker and the distribution registry take."""

INDEXES = frozenset({OCI_INDEX, DOCKER_INDEX})
MANIFESTS = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """One thing that a manifest or index points to."""

    media_type: str
    digest: Digest
    size: int
    """Bytes."""
    platform: Platform | None = None
    urls: tuple[str, ...] = ()
    """Where else the bytes are to be had: an engine fetches such a foreign layer by itself."""
    attestation: bool = False
    """Whether it describes an image rather than being one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A manifest or index: its bytes as served, their digest, and what they point to."""

    raw: bytes
    media_type: str
    digest: Digest
    entries: tuple[Descriptor, ...] = ()
    """An index's manifests; empty for a manifest."""
    config: Descriptor | None = None
    layers: tuple[Descriptor, ...] = ()

    @classmethod
    def read(cls, raw: bytes, content_type: str = "", *, digest: Digest | None = None) -> Self:
        """Read *raw*, served as *content_type*; raise RegistryError where it is none or not the *digest* meant."""
        if len(raw) > MANIFEST_CAP_BYTES:
            raise RegistryError(f"cannot take a manifest of more than {MANIFEST_CAP_BYTES} bytes")
        if digest is not None and not digest.proves(raw):
            raise RegistryError(f"cannot trust the manifest that was served as {digest}: its bytes are others")
        document = _document(raw)
        return cls(
            raw=raw,
            media_type=_media_type(document, content_type),
            digest=digest or Digest.of(raw),
            entries=_descriptors(document.get("manifests")),
            config=next(iter(_descriptors([document["config"]])), None) if document.get("config") is not None else None,
            layers=_descriptors(document.get("layers")),
        )

    @property
    def is_index(self) -> bool:
        """Whether this lists manifests by platform rather than being one."""
        return self.media_type in INDEXES

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """Config and layers, each digest once, in the manifest's order."""
        every = (self.config, *self.layers) if self.config else self.layers
        return tuple({blob.digest: blob for blob in every}.values())

    def choose(self, platform: Platform) -> Descriptor | None:
        """Return the entry that a machine of *platform* runs, or None; attestations are never chosen."""
        images = [entry for entry in self.entries if not entry.attestation]
        index = platform.choose([entry.platform for entry in images])
        return None if index is None else images[index]


def _document(raw: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise RegistryError("cannot read the manifest: it is not JSON") from error
    if not isinstance(document, dict):
        raise RegistryError("cannot read the manifest: it is not a JSON object")
    if "manifests" in document and "layers" in document:
        raise RegistryError("cannot use a manifest that claims to be an index too (CVE-2021-41190)")
    if document.get("schemaVersion") == 1:
        raise RegistryError("cannot use a schema 1 manifest; engines no longer read it, push the image anew")
    return document


def _media_type(document: Mapping[str, Any], content_type: str) -> str:
    """Return what *document* is: by its header, else by its own word, else by its shape."""
    for named in (content_type.partition(";")[0].strip().lower(), document.get("mediaType")):
        if isinstance(named, str) and named in INDEXES | MANIFESTS:
            return str(named)
    if "manifests" in document:
        return OCI_INDEX
    if "config" in document and "layers" in document:
        return OCI_MANIFEST
    raise RegistryError("cannot read the manifest: it is neither an image nor an index")


def _descriptors(items: object) -> tuple[Descriptor, ...]:
    if items is None:
        return ()
    try:
        return tuple(_descriptor(item) for item in _list(items))
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError, BadInput) as error:
        raise RegistryError(f"cannot read the manifest: a descriptor is broken ({error})") from error


def _list(items: object) -> Sequence[Any]:
    if not isinstance(items, list):
        raise TypeError("expected a list")
    return items


def _descriptor(item: Mapping[str, Any]) -> Descriptor:
    size = int(item["size"])
    if not 0 <= size < 2**63:
        raise ValueError("no size that can be")
    platform = _platform(item.get("platform"))
    annotations = item.get("annotations") or {}
    about = annotations.get("vnd.docker.reference.type") == "attestation-manifest"
    return Descriptor(
        media_type=str(item.get("mediaType", "")),
        digest=Digest.parse(item["digest"]),
        size=size,
        platform=platform,
        urls=tuple(map(str, item.get("urls") or ())),
        attestation=about or platform == Platform("unknown", "unknown"),
    )


def _platform(item: Mapping[str, Any] | None) -> Platform | None:
    if not item:
        return None
    keys = ("os", "architecture", "variant", "os.version")
    return Platform(*(str(item.get(key, "")) for key in keys))
