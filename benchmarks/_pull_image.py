"""The image whose pull is measured: one layer of 258 MiB that unpacks to about 712, as program files do."""

import gzip
import io
import json
import random
import tarfile
from typing import Any

from fleet.images.digest import Digest
from fleet.registry.manifest import DOCKER_MANIFEST
from fleet.testing.images import CONFIG, LAYER, LINUX_AMD64, BuiltManifest

LAYER_MIB, UNPACKED_MIB = 258, 712
_FILES = 24
_BLOCK_BYTES = 64 * 1024
_TEXT = b"What a program says of itself is mostly the same words in another order. " * 1024


def large_image(packed_mib: int = LAYER_MIB) -> BuiltManifest:
    """Return the image; the same bytes each time. Whole, it takes half a minute and 1.5 GiB of memory to make."""
    dice, packed, unpacked = random.Random("large"), io.BytesIO(), _Hashing()
    hard = int(_BLOCK_BYTES * LAYER_MIB / UNPACKED_MIB)
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=1, mtime=0) as squeezed:
        unpacked.below = squeezed
        with tarfile.open(fileobj=unpacked, mode="w|") as tar:  # type: ignore[call-overload]
            for number in range(_FILES):
                blocks = unpacked_mib(packed_mib) * 1024 * 1024 // _FILES // _BLOCK_BYTES
                content = b"".join(dice.randbytes(hard) + _TEXT[: _BLOCK_BYTES - hard] for _ in range(blocks))
                entry = tarfile.TarInfo(f"data/{number}")
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    layer = packed.getvalue()
    document = {
        "architecture": LINUX_AMD64.architecture,
        "os": LINUX_AMD64.os,
        "config": {"Cmd": ["/none"]},
        "rootfs": {"type": "layers", "diff_ids": [unpacked.digest]},
    }
    return _manifest(json.dumps(document).encode(), layer)


def unpacked_mib(packed_mib: int) -> int:
    """Return what a layer of *packed_mib* unpacks to."""
    return packed_mib * UNPACKED_MIB // LAYER_MIB


class _Hashing:
    """Passes bytes on, and hashes them."""

    def __init__(self) -> None:
        self.below: Any = None
        self._hasher = Digest.of(b"").hasher()

    def write(self, content: bytes) -> int:
        """Take in more bytes."""
        self._hasher.update(content)
        self.below.write(content)
        return len(content)

    @property
    def digest(self) -> str:
        """The digest of all bytes."""
        return f"sha256:{self._hasher.hexdigest()}"


def _manifest(config: bytes, layer: bytes) -> BuiltManifest:
    blobs = {Digest.of(config): config, Digest.of(layer): layer}
    kinds = ((CONFIG, config), (LAYER, layer))
    rows = [{"mediaType": kind, "size": len(content), "digest": str(Digest.of(content))} for kind, content in kinds]
    document = {"schemaVersion": 2, "mediaType": DOCKER_MANIFEST, "config": rows[0], "layers": rows[1:]}
    return BuiltManifest(raw=json.dumps(document).encode(), media_type=DOCKER_MANIFEST, blobs=blobs)
