"""Images for real engines: busybox, layers of a chosen size, a health check that passes or fails; pushed by HTTP."""

import gzip
import io
import json
import random
import ssl
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import httpx2

from fleet.images.digest import Digest
from fleet.images.platform import Platform
from fleet.testing.images import BuiltManifest, build_image, build_index

BUSYBOX = Path("/bin/busybox")
SECOND_NS = 1_000_000_000
_APPLETS = ("sh", "sleep", "httpd", "cat", "true", "false", "wget", "echo", "kill", "ls", "nc")
_MEBIBYTE = 1024 * 1024
RUNS = ("/bin/sh", "-c", "trap 'exit 0' TERM INT; while :; do sleep 1 & wait $!; done")
"""A program that runs until it is asked to end, and then ends at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What an image is made of; the same recipe always gives the same bytes."""

    version: str = "1"
    """Told in its label and environment; another version is another digest."""
    layers_mib: tuple[float, ...] = ()
    """Sizes of further layers, in MiB, of bytes that do not compress."""
    command: tuple[str, ...] = RUNS
    health: str = ""
    """``good``, ``failing``, or empty for no HEALTHCHECK."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """Whatever else its ``config`` says: Env, Labels, ExposedPorts, StopSignal."""
    platforms: tuple[Platform, ...] = ()
    """For an index; the same programs under each name."""
    shares: str = ""
    """Layers are made from this rather than from the version, so that two images may share them."""


def build(recipe: Recipe) -> BuiltManifest:
    """Return the manifest of *recipe*, or the index where it names platforms."""
    layers = [_busybox(), *_random_layers(recipe)]
    config = _config(recipe)
    if not recipe.platforms:
        return build_image(layers, config=config)
    return build_index([build_image(layers, platform=platform, config=config) for platform in recipe.platforms])


def push(url: str, repository: str, tag: str, image: BuiltManifest, *, ca: Path | None = None) -> Digest:
    """Push *image* to the registry at *url* and return its digest."""
    trusted = ssl.create_default_context(cafile=str(ca)) if ca else False
    with httpx2.Client(base_url=url, verify=trusted, trust_env=False, timeout=60) as client:
        for child in image.children:
            _push_manifest(client, repository, str(child.digest), child)
        _push_manifest(client, repository, tag, image)
    return image.digest


def archive(image: BuiltManifest, name: str) -> bytes:
    """Return what ``docker load`` reads: an image that an engine has without any registry."""
    manifest = json.loads(image.raw)
    blobs = {str(digest): content for digest, content in image.blobs.items()}
    layers = {f"{row['digest'].split(':')[1]}/layer.tar": blobs[row["digest"]] for row in manifest["layers"]}
    listed = [{"Config": "config.json", "RepoTags": [name], "Layers": list(layers)}]
    files = {"config.json": blobs[manifest["config"]["digest"]], "manifest.json": json.dumps(listed).encode()}
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        for path, content in (files | {path: gzip.decompress(layer) for path, layer in layers.items()}).items():
            _add(tar, path, content)
    return plain.getvalue()


def _config(recipe: Recipe) -> dict[str, Any]:
    config: dict[str, Any] = {
        "Cmd": list(recipe.command),
        "Env": ["PATH=/bin", f"IMAGE_VERSION={recipe.version}"],
        "Labels": {"org.opencontainers.image.version": recipe.version},
    }
    if recipe.health:
        test = "true" if recipe.health == "good" else "echo the database is gone; false"
        probe = {"Test": ["CMD-SHELL", test], "Interval": SECOND_NS, "Timeout": 2 * SECOND_NS, "Retries": 2}
        config["Healthcheck"] = probe
    return config | dict(recipe.config)


def _random_layers(recipe: Recipe) -> Iterator[bytes]:
    for number, size_mib in enumerate(recipe.layers_mib):
        name = f"{recipe.shares or recipe.version}-{number}"
        content = random.Random(name).randbytes(int(size_mib * _MEBIBYTE))
        yield _layer({f"data/{name}": content})


@cache
def _busybox() -> bytes:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        _add(tar, "bin/busybox", BUSYBOX.read_bytes())
        for applet in _APPLETS:
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
        for folder in ("tmp", "data", "etc"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o777
            tar.addfile(entry)
    return gzip.compress(plain.getvalue(), compresslevel=1, mtime=0)


def _layer(files: Mapping[str, bytes]) -> bytes:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        for path, content in files.items():
            _add(tar, path, content)
    return gzip.compress(plain.getvalue(), compresslevel=1, mtime=0)


def _add(tar: tarfile.TarFile, path: str, content: bytes) -> None:
    entry = tarfile.TarInfo(path)
    entry.size, entry.mode = len(content), 0o755
    tar.addfile(entry, io.BytesIO(content))


def _push_manifest(client: httpx2.Client, repository: str, name: str, image: BuiltManifest) -> None:
    for digest, content in image.blobs.items():
        _push_blob(client, repository, digest, content)
    headers = {"Content-Type": image.media_type}
    answer = client.put(f"/v2/{repository}/manifests/{name}", content=image.raw, headers=headers)
    answer.raise_for_status()


def _push_blob(client: httpx2.Client, repository: str, digest: Digest, content: bytes) -> None:
    if client.head(f"/v2/{repository}/blobs/{digest}").status_code == httpx2.codes.OK:
        return
    begun = client.post(f"/v2/{repository}/blobs/uploads/")
    begun.raise_for_status()
    place = httpx2.URL(begun.headers["Location"])
    # A registry may name itself as it is called inside its network; only the path is ours to follow.
    target = place.raw_path.decode() + ("&" if place.query else "?") + f"digest={digest}"
    client.put(target, content=content).raise_for_status()
