"""What a worker's memory grows by while the gateway in it fetches and serves 2 GiB.

A plain client takes the place of the engine, and throws away what it gets: what an engine does with the bytes is not the
worker's memory. It takes 4 GiB of disk in the folder for temporary files.
"""

import base64
import contextlib
import hashlib
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2

from fleet.clock import SystemClock
from fleet.gateway.server import Gateway
from fleet.gateway.session import USER
from fleet.images.digest import Digest
from fleet.images.reference import Reference
from fleet.mirrors.table import MirrorTable
from fleet.registry.credentials import NoCredentials
from fleet.registry.manifest import DOCKER_MANIFEST
from fleet.testing.images import CONFIG, LAYER

LAYERS, LAYER_MIB = 8, 256
_MEBIBYTE = 1024 * 1024
_CHUNK = os.urandom(_MEBIBYTE)
_REPOSITORY = "team/large"


def main(layer_mib: int = LAYER_MIB) -> None:
    """Run a worker's gateway in a process of its own, pull 2 GiB through it, and print what that took."""
    with tempfile.TemporaryDirectory() as folder, _registry(Path(folder)) as host:
        digest, layers = _push(host, layer_mib)
        worker = subprocess.Popen(
            [sys.executable, __file__, folder, host, str(digest)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            _measure(worker, layers, layer_mib)
        finally:
            worker.communicate(timeout=30)


def _measure(worker: "subprocess.Popen[str]", layers: list[str], layer_mib: int) -> None:
    assert worker.stdout is not None
    told = json.loads(worker.stdout.readline())
    time.sleep(1)
    idle, began = _resident_mib(worker.pid, "VmRSS"), time.perf_counter()
    for path in (f"manifests/{told['digest']}", *(f"blobs/{layer}" for layer in layers)):
        _get(told, path)
    took, most = time.perf_counter() - began, _resident_mib(worker.pid, "VmHWM")
    print(f"a worker's memory while {LAYERS * layer_mib} MiB come, in {LAYERS} layers, {took:.1f} s")
    print(f"  idle {idle:.0f} MiB, at most {most:.0f} MiB: {most - idle:.0f} MiB more\n", flush=True)


def _resident_mib(pid: int, which: str) -> float:
    """Return resident memory: ``VmRSS`` now, ``VmHWM`` the most so far, by the kernel's own account."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(which))


def _get(told: dict[str, str], path: str) -> None:
    """Read a body and throw it away."""
    connection = http.client.HTTPConnection(told["host"], timeout=600)
    proof = base64.b64encode(f"{USER}:{told['secret']}".encode()).decode()
    connection.request("GET", f"/v2/{told['name']}/{path}", headers={"Authorization": f"Basic {proof}"})
    answer = connection.getresponse()
    assert answer.status == http.client.OK, answer.status
    buffer = bytearray(_MEBIBYTE)
    while answer.readinto(buffer):
        pass
    connection.close()


@contextlib.contextmanager
def _registry(folder: Path) -> Iterator[str]:
    """Start Docker's registry on loopback; give its host and port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        host = f"127.0.0.1:{free.getsockname()[1]}"
    configuration = {
        "version": 0.1,
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "registry")}},
        "http": {"addr": host},
    }
    file = folder / "registry.yml"
    file.write_text(json.dumps(configuration))
    quiet = {**os.environ, "OTEL_TRACES_EXPORTER": "none"}
    process = subprocess.Popen(
        ["docker-registry", "serve", str(file)], env=quiet, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield host
    finally:
        process.terminate()
        process.wait()


def _push(host: str, layer_mib: int) -> tuple[Digest, list[str]]:
    """Push an image of large layers, without holding one in memory; return its digest and theirs."""
    with httpx2.Client(base_url=f"http://{host}", trust_env=False, timeout=120) as client:
        for _ in range(50):
            with contextlib.suppress(httpx2.HTTPError):
                if client.get("/v2/").status_code == httpx2.codes.OK:
                    break
            time.sleep(0.1)
        config = json.dumps(
            {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}
        ).encode()
        rows = [_push_blob(client, [config], CONFIG)]
        for number in range(LAYERS):
            rows.append(_push_blob(client, [bytes([number]) + _CHUNK[1:]] * layer_mib, LAYER))
        document = {"schemaVersion": 2, "mediaType": DOCKER_MANIFEST, "config": rows[0], "layers": rows[1:]}
        raw = json.dumps(document).encode()
        digest = Digest.of(raw)
        path = f"/v2/{_REPOSITORY}/manifests/{digest}"
        client.put(path, content=raw, headers={"Content-Type": DOCKER_MANIFEST}).raise_for_status()
    return digest, [row["digest"] for row in rows[1:]]


def _push_blob(client: httpx2.Client, chunks: list[bytes], kind: str) -> dict[str, Any]:
    hasher = hashlib.sha256()
    for chunk in chunks:
        hasher.update(chunk)
    digest, size = f"sha256:{hasher.hexdigest()}", sum(map(len, chunks))
    begun = client.post(f"/v2/{_REPOSITORY}/blobs/uploads/").raise_for_status()
    target = begun.headers["Location"] + f"&digest={digest}"
    client.put(target, content=iter(chunks), headers={"Content-Length": str(size)}).raise_for_status()
    return {"mediaType": kind, "size": size, "digest": digest}


def _work(folder: str, host: str, digest: str) -> None:
    """Be the worker: serve one pull until there is nobody to serve."""
    import fleet.agent.process  # noqa: F401  What else a worker has in memory.

    gateway = Gateway(Path(folder) / "spool", credentials=NoCredentials(), clock=SystemClock(), port=0)
    gateway.start()
    reference = Reference.parse(f"{host}/{_REPOSITORY}:1")
    session = gateway.open(reference, Digest.parse(digest), MirrorTable.of((), insecure=[host]))
    told = {"host": gateway.host, "name": session.name, "secret": session.secret, "digest": digest}
    print(json.dumps(told), flush=True)
    sys.stdin.read()
    gateway.end(session)
    gateway.close()


if __name__ == "__main__":
    _work(*sys.argv[1:])
