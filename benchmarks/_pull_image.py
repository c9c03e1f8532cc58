"""The images whose pulls are measured: one layer of 258 MiB each.

``of_few_files`` unpacks to 712 MiB and takes an engine little else than to copy bytes, so that what the gateway adds stands out.
``of_programs`` is packed from what images are made of, thousands of files of text and machine code: there an engine is busy with
unpacking for most of a pull, whoever brings the bytes.
"""

import gzip
import hashlib
import io
import itertools
import json
import random
import stat
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleet.errors import FleetError
from fleet.images.digest import Digest
from fleet.registry.manifest import DOCKER_MANIFEST
from fleet.testing.images import CONFIG, LAYER, LINUX_AMD64, BuiltManifest

LAYER_MIB = 258
PROGRAMS = Path("/usr")
"""Whose files are taken: what the machine's packages brought."""
_MEBIBYTE = 1024 * 1024
_LARGEST_BYTES = 16 * _MEBIBYTE
"""No program's file is larger, so that a layer ends near the size that it is to have."""
_PACKS_TO = 3
"""Programs pack to about a third."""
_FEW, _UNPACKED_MIB, _BLOCK_BYTES = 24, 712, 64 * 1024
"""How many files few are, what 258 MiB of them unpack to, and the blocks that they are made of."""
_TEXT = b"What a program says of itself is mostly the same words in another order. " * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class LargeImage:
    """An image, and what is in it."""

    built: BuiltManifest
    files: int
    packed_bytes: int
    unpacked_bytes: int

    def __str__(self) -> str:
        """Say how large it is."""
        packed, unpacked = self.packed_bytes // _MEBIBYTE, self.unpacked_bytes // _MEBIBYTE
        return f"a layer of {packed} MiB with {self.files} files of {unpacked} MiB"


def of_programs(packed_mib: int = LAYER_MIB) -> LargeImage:
    """Return an image of program files, the same each time on one machine; it takes a minute and half a GiB of memory.

    Raise FleetError where the machine has no programs.
    """
    return _image(_programs(packed_mib), packed_mib, level=6)


def of_few_files(packed_mib: int = LAYER_MIB) -> LargeImage:
    """Return an image of large files that are quick to unpack, the same everywhere."""
    return _image(_few(packed_mib), packed_mib, level=1)


def _programs(packed_mib: int) -> Iterator[tuple[str, bytes]]:
    """Give files that chance chose once, in the order of their folders, and all of them again where they do not fill it."""
    sizes = {}
    for path in sorted(PROGRAMS.rglob("*")):
        found = path.lstat()
        if stat.S_ISREG(found.st_mode) and found.st_size <= _LARGEST_BYTES:
            sizes[path] = found.st_size
    if not sizes:
        raise FleetError(f"cannot make an image: {PROGRAMS} has no files")
    order, left, chosen = list(sizes), packed_mib * _MEBIBYTE * _PACKS_TO, []
    random.Random("programs").shuffle(order)
    while left > 0 and order:
        chosen.append(order.pop())
        left -= sizes[chosen[-1]]
    for number in itertools.count():
        for path in sorted(chosen):
            yield f"{number}{path}", path.read_bytes()


def _few(packed_mib: int) -> Iterator[tuple[str, bytes]]:
    """Give files of blocks that begin with noise and go on with words."""
    dice, hard = random.Random("large"), _BLOCK_BYTES * LAYER_MIB // _UNPACKED_MIB
    blocks = packed_mib * _UNPACKED_MIB // LAYER_MIB * _MEBIBYTE // _FEW // _BLOCK_BYTES
    for number in range(_FEW):
        yield f"data/{number}", b"".join(dice.randbytes(hard) + _TEXT[: _BLOCK_BYTES - hard] for _ in range(blocks))


def _image(content: Iterable[tuple[str, bytes]], packed_mib: int, *, level: int) -> LargeImage:
    """Pack files into one layer until it is large enough or all are in it; *level* is gzip's: builders use 6."""
    packed, files = io.BytesIO(), 0
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=level, mtime=0) as squeezed:
        unpacked = _Hashing(squeezed)
        with tarfile.open(fileobj=unpacked, mode="w|") as tar:  # type: ignore[call-overload]
            for name, body in content:
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode = len(body), 0o755
                tar.addfile(entry, io.BytesIO(body))
                files += 1
                if packed.tell() >= packed_mib * _MEBIBYTE:
                    break
    layer = packed.getvalue()
    document = {
        "architecture": LINUX_AMD64.architecture,
        "os": LINUX_AMD64.os,
        "config": {"Cmd": ["/none"]},
        "rootfs": {"type": "layers", "diff_ids": [unpacked.digest]},
    }
    built = _manifest(json.dumps(document).encode(), layer)
    return LargeImage(built=built, files=files, packed_bytes=len(layer), unpacked_bytes=unpacked.count)


class _Hashing:
    """Passes bytes on, counts and hashes them."""

    def __init__(self, below: Any) -> None:
        self.count = 0
        self._below, self._hasher = below, hashlib.sha256()

    def write(self, content: bytes) -> int:
        """Take in more bytes."""
        self.count += len(content)
        self._hasher.update(content)
        self._below.write(content)
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
