"""A gateway in a process of its own that fetches one layer, and says so when so many bytes of it are there."""

import sys
import time
from dataclasses import replace
from pathlib import Path

from fleet.clock import SystemClock
from fleet.gateway.server import Gateway
from fleet.images.digest import Digest
from fleet.images.platform import Platform
from fleet.images.reference import Reference
from fleet.mirrors.table import MirrorTable
from fleet.registry.connections import Patience
from fleet.registry.proxies import Proxies
from tests.gateway.harbour import PATIENT, Logins


def main() -> None:
    """Fetch, and wait for the end."""
    spool, reference, digest, count = sys.argv[1:]
    limits = replace(PATIENT, patience=Patience(silence_s=60.0), floor_window_s=60.0)
    gateway = Gateway(
        Path(spool), credentials=Logins(), clock=SystemClock(), port=0, limits=limits, proxies=Proxies(), certs=()
    )
    gateway.start()
    session = gateway.open(Reference.parse(reference), Digest.parse(digest), MirrorTable.of())
    gateway.submit(session.prepare(Platform("linux", "amd64"))).result(60)
    gateway.submit(session.prefetch(()))
    while session.progress()[0] < int(count):
        time.sleep(0.02)
    print("there", flush=True)
    time.sleep(60)


if __name__ == "__main__":
    main()
