"""What a byte costs in the gateway: processor time from Docker's registry into the spool, proved, beside a bare loop's.

The bare loop reads by Python's own HTTP client into one buffer, writes and hashes: what it takes cannot be saved. Processor
time is this process's, all threads together; the registry is another process.
"""

import hashlib
import http.client
import itertools
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks._pull_registry import CA, REPOSITORY, push, registry, trust
from benchmarks._sides import in_turn, show
from fleet.clock import SystemClock
from fleet.gateway.limits import Limits
from fleet.gateway.server import Gateway
from fleet.gateway.session import Session
from fleet.images.digest import Digest
from fleet.images.reference import Reference
from fleet.mirrors.policy import parse_mirrors
from fleet.mirrors.table import MirrorTable
from fleet.registry.credentials import NoCredentials

LAYER_MIB = 258
_BUFFER = bytearray(256 * 1024)
_NUMBERS = itertools.count()


ONE = Limits(ample_bytes_s=1)
"""One connection is enough, however slow it is."""
SEVERAL = Limits(ample_bytes_s=1e12, fast_bytes_s=1)


def main(rounds: int, layer_mib: int = LAYER_MIB) -> None:
    """Measure with TLS and without, over one connection and over several, and print it."""
    for tls in (True, False):
        with tempfile.TemporaryDirectory() as folder, registry(Path(folder), tls=tls) as url:
            _measure(Path(folder), url, rounds, layer_mib)


def _measure(folder: Path, url: str, rounds: int, layer_mib: int) -> None:
    digest, (layer,) = push(url, [layer_mib], verify=trust(folder, url))

    def whole(act: Callable[[], None]) -> float:
        """Return the seconds of processor time that a GiB would take."""
        began = time.process_time()
        act()
        return (time.process_time() - began) * 1024 / layer_mib

    sides = {
        "a bare loop": lambda: whole(lambda: _bare(folder, url, layer)),
        "the gateway, one connection": lambda: whole(lambda: _fetch(folder, url, digest, ONE)),
        "the gateway, several": lambda: whole(lambda: _fetch(folder, url, digest, SEVERAL)),
    }
    show(f"reading {urlsplit(url).scheme}, processor", "s a GiB", in_turn(sides, rounds))


def _bare(folder: Path, url: str, layer: str) -> None:
    host, verify = urlsplit(url).netloc, trust(folder, url)
    connection = (
        http.client.HTTPConnection(host)
        if isinstance(verify, bool)
        else http.client.HTTPSConnection(host, context=verify)
    )
    connection.request("GET", f"/v2/{REPOSITORY}/blobs/{layer}")
    answer, view, hasher, at = connection.getresponse(), memoryview(_BUFFER), hashlib.sha256(), 0
    with tempfile.TemporaryFile(dir=folder) as file:
        while count := answer.readinto(view):
            os.pwrite(file.fileno(), view[:count], at)
            hasher.update(view[:count])
            at += count
    connection.close()
    assert f"sha256:{hasher.hexdigest()}" == layer


def _fetch(folder: Path, url: str, digest: Digest, limits: Limits) -> None:
    """Fetch all of the image through a gateway of its own."""
    gateway = Gateway(
        folder / f"spool{next(_NUMBERS)}",
        credentials=NoCredentials(),
        clock=SystemClock(),
        port=0,
        limits=limits,
    )
    gateway.start()
    rule = {"for": "*", "url": url, "ca": str(folder / CA) if url.startswith("https") else ""}
    table = MirrorTable.of(parse_mirrors([rule]))
    session = gateway.open(Reference.parse(f"registry.invalid/{REPOSITORY}:1"), digest, table)
    try:
        got: Future[None] = gateway.submit(_all(session))
        got.result(timeout=600)
    finally:
        gateway.end(session)
        gateway.close()


async def _all(session: Session) -> None:
    await session.prepare(None)
    await session.prefetch(())
    got, total, _ = session.progress()
    assert got == total, session.failure
