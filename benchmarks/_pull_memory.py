"""What a worker's memory grows by while the gateway in it fetches and serves 2 GiB.

A plain client takes the place of the engine, and throws away what it gets: what an engine does with the bytes is not the
worker's memory. It takes 4 GiB of disk in the folder for temporary files.
"""

import base64
import http.client
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks._pull_registry import REPOSITORY, push, registry
from fleet.clock import SystemClock
from fleet.gateway.server import Gateway
from fleet.gateway.session import USER
from fleet.images.digest import Digest
from fleet.images.reference import Reference
from fleet.mirrors.table import MirrorTable
from fleet.registry.credentials import NoCredentials

LAYERS, LAYER_MIB = 8, 256
_MEBIBYTE = 1024 * 1024


def main(layer_mib: int = LAYER_MIB) -> None:
    """Run a worker's gateway in a process of its own, pull 2 GiB through it, and print what that took."""
    with tempfile.TemporaryDirectory() as folder, registry(Path(folder)) as url:
        digest, layers = push(url, [layer_mib] * LAYERS)
        host = urlsplit(url).netloc
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


def _work(folder: str, host: str, digest: str) -> None:
    """Be the worker: serve one pull until there is nobody to serve."""
    import fleet.agent.process  # noqa: F401  What else a worker has in memory.

    gateway = Gateway(Path(folder) / "spool", credentials=NoCredentials(), clock=SystemClock(), port=0)
    gateway.start()
    reference = Reference.parse(f"{host}/{REPOSITORY}:1")
    session = gateway.open(reference, Digest.parse(digest), MirrorTable.of((), insecure=[host]))
    told = {"host": gateway.host, "name": session.name, "secret": session.secret, "digest": digest}
    print(json.dumps(told), flush=True)
    sys.stdin.read()
    gateway.end(session)
    gateway.close()


if __name__ == "__main__":
    _work(*sys.argv[1:])
