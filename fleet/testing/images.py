"""Builds small images for tests: layers, configuration, manifests and indexes, as bytes with their digests."""

import gzip
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fleet.images.digest import Digest
from fleet.images.platform import Platform
from fleet.registry.manifest import DOCKER_INDEX, DOCKER_MANIFEST, OCI_INDEX

LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
CONFIG = "application/vnd.docker.container.image.v1+json"
LINUX_AMD64 = Platform("linux", "amd64")


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltManifest:
    """The bytes of a manifest or index, and of everything below it."""

    raw: bytes
    media_type: str
    platform: Platform | None = None
    blobs: Mapping[Digest, bytes] = field(default_factory=dict)
    children: tuple["BuiltManifest", ...] = ()

    @property
    def digest(self) -> Digest:
        """The digest of the manifest or index itself."""
        return Digest.of(self.raw)


def tar_layer(files: Mapping[str, bytes]) -> bytes:
    """Return a gzipped tar that holds *files* by path; the same files always give the same bytes."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as archive:
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(content), 0o755
            archive.addfile(entry, io.BytesIO(content))
    return gzip.compress(plain.getvalue(), compresslevel=1, mtime=0)


def build_image(
    layers: Sequence[bytes], *, platform: Platform = LINUX_AMD64, config: Mapping[str, Any] | None = None
) -> BuiltManifest:
    """Return an image of *layers*; *config* is its ``config`` (Cmd, Env, Healthcheck).

    Layers need not be tar archives unless an engine is to unpack them; then they are gzipped tars.
    """
    document = {
        "architecture": platform.architecture,
        "os": platform.os,
        "variant": platform.variant,
        "config": dict(config or {}),
        "rootfs": {"type": "layers", "diff_ids": [str(Digest.of(_unpacked(layer))) for layer in layers]},
    }
    configuration = json.dumps(document).encode()
    blobs = {Digest.of(blob): blob for blob in (configuration, *layers)}
    manifest = {
        "schemaVersion": 2,
        "mediaType": DOCKER_MANIFEST,
        "config": _descriptor(CONFIG, configuration),
        "layers": [_descriptor(LAYER, layer) for layer in layers],
    }
    raw = json.dumps(manifest).encode()
    return BuiltManifest(raw=raw, media_type=DOCKER_MANIFEST, platform=platform, blobs=blobs)


def build_index(manifests: Sequence[BuiltManifest], *, oci: bool = False) -> BuiltManifest:
    """Return an index that lists *manifests* by their platforms."""
    media_type = OCI_INDEX if oci else DOCKER_INDEX
    entries = [{**_descriptor(m.media_type, m.raw), "platform": _platform(m.platform)} for m in manifests]
    raw = json.dumps({"schemaVersion": 2, "mediaType": media_type, "manifests": entries}).encode()
    return BuiltManifest(raw=raw, media_type=media_type, children=tuple(manifests))


def _descriptor(media_type: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "size": len(content), "digest": str(Digest.of(content))}


def _platform(platform: Platform | None) -> dict[str, str]:
    platform = platform or Platform("unknown", "unknown")
    named = {"os": platform.os, "architecture": platform.architecture, "variant": platform.variant}
    return {key: value for key, value in named.items() if value}


def _unpacked(layer: bytes) -> bytes:
    return gzip.decompress(layer) if layer.startswith(b"\x1f\x8b") else layer
