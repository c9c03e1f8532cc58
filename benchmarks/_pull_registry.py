"""Docker's registry on loopback, with or without TLS, and an image of layers that are never held in memory whole."""

import contextlib
import hashlib
import json
import os
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx2

from fleet.images.digest import Digest
from fleet.registry.manifest import DOCKER_MANIFEST
from fleet.testing.certificates import TestAuthority
from fleet.testing.images import CONFIG, LAYER

REPOSITORY = "team/large"
CA = "ca.pem"
"""The file, in the registry's folder, of the authority that its certificate is of."""
_MEBIBYTE = 1024 * 1024
_CHUNK = os.urandom(_MEBIBYTE)


@contextlib.contextmanager
def registry(folder: Path, *, tls: bool = False) -> Iterator[str]:
    """Start Docker's registry, with its bytes in *folder*; give its URL."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        host = f"127.0.0.1:{free.getsockname()[1]}"
    http: dict[str, Any] = {"addr": host}
    if tls:
        authority = TestAuthority()
        authority.write(folder / CA)
        certificate, key = authority.issue(["127.0.0.1"], folder)
        http["tls"] = {"certificate": str(certificate), "key": str(key)}
    configuration = {
        "version": 0.1,
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "registry")}},
        "http": http,
    }
    file = folder / "registry.yml"
    file.write_text(json.dumps(configuration))
    quiet = {**os.environ, "OTEL_TRACES_EXPORTER": "none"}
    process = subprocess.Popen(
        ["docker-registry", "serve", str(file)], env=quiet, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield f"{'https' if tls else 'http'}://{host}"
    finally:
        process.terminate()
        process.wait()


def trust(folder: Path, url: str) -> ssl.SSLContext | bool:
    """Return what a client of the registry at *url* checks its certificate by."""
    return ssl.create_default_context(cafile=folder / CA) if url.startswith("https") else False


def push(url: str, layers_mib: Sequence[int], *, verify: ssl.SSLContext | bool = False) -> tuple[Digest, list[str]]:
    """Push an image of layers of such sizes; return its digest and theirs."""
    with httpx2.Client(base_url=url, trust_env=False, timeout=120, verify=verify) as client:
        for _ in range(50):
            with contextlib.suppress(httpx2.HTTPError):
                if client.get("/v2/").status_code == httpx2.codes.OK:
                    break
            time.sleep(0.1)
        config = json.dumps(
            {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}
        ).encode()
        rows = [_push_blob(client, [config], CONFIG)]
        for number, mib in enumerate(layers_mib):
            rows.append(_push_blob(client, [bytes([number]) + _CHUNK[1:]] * mib, LAYER))
        document = {"schemaVersion": 2, "mediaType": DOCKER_MANIFEST, "config": rows[0], "layers": rows[1:]}
        raw = json.dumps(document).encode()
        digest = Digest.of(raw)
        path = f"/v2/{REPOSITORY}/manifests/{digest}"
        client.put(path, content=raw, headers={"Content-Type": DOCKER_MANIFEST}).raise_for_status()
    return digest, [row["digest"] for row in rows[1:]]


def _push_blob(client: httpx2.Client, chunks: list[bytes], kind: str) -> dict[str, Any]:
    hasher = hashlib.sha256()
    for chunk in chunks:
        hasher.update(chunk)
    digest, size = f"sha256:{hasher.hexdigest()}", sum(map(len, chunks))
    begun = client.post(f"/v2/{REPOSITORY}/blobs/uploads/").raise_for_status()
    target = begun.headers["Location"] + f"&digest={digest}"
    client.put(target, content=iter(chunks), headers={"Content-Length": str(size)}).raise_for_status()
    return {"mediaType": kind, "size": size, "digest": digest}
