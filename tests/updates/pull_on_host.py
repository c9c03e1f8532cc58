"""One pull by the program's own puller, as a process: run on a machine of the lab, it prints outcome and image as JSON.

The argument is JSON: ``state`` (a folder), ``reference``, ``digest``, and where wanted ``mirrors`` (of the policy), ``insecure``,
``silence_s`` and ``header_hold_s`` (of the limits), ``stop_after_s``, ``hosts_toml`` (the folder that may be written).
"""

import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import uuid4

from fleet.clock import SystemClock
from fleet.engine.docker import connect
from fleet.gateway.limits import Limits
from fleet.images.digest import Digest
from fleet.images.reference import Reference
from fleet.mirrors.managed_hosts import ManagedHosts
from fleet.mirrors.policy import parse_mirrors
from fleet.mirrors.sources import HostMirrors
from fleet.registry.connections import SILENCE_S, Patience
from fleet.registry.credentials import NoCredentials
from fleet.updates.command import Policy
from fleet.updates.known import KnownDigests
from fleet.updates.pull import Puller


def main() -> None:
    """Pull, and print what came of it."""
    asked: dict[str, Any] = json.loads(sys.argv[1])
    reference, state = Reference.parse(asked["reference"]), Path(asked["state"])
    engine, known = connect(os.environ["DOCKER_HOST"]), KnownDigests(state / "known.json")
    silence_s = asked.get("silence_s", SILENCE_S)
    limits = Limits(
        patience=Patience(silence_s=silence_s), header_hold_s=asked.get("header_hold_s", Limits().header_hold_s)
    )
    ends = time.monotonic() + asked.get("stop_after_s", 3600)
    puller = Puller(
        engine,
        state=state,
        known=known,
        host_mirrors=lambda: HostMirrors(insecure=tuple(asked.get("insecure", ()))),
        credentials=NoCredentials(),
        clock=SystemClock(),
        limits=limits,
        hosts=ManagedHosts(Path(asked["hosts_toml"])) if "hosts_toml" in asked else None,
    )
    outcome = puller.pull(
        reference,
        Digest.parse(asked["digest"]),
        pull_id=uuid4(),
        policy=Policy(mirrors=parse_mirrors(asked.get("mirrors", []))),
        progress=lambda _: None,
        stop=lambda: time.monotonic() > ends,
    )
    puller.close()
    remembered = known.get(outcome.image_id, reference.name)
    told = {
        "outcome": asdict(outcome),
        "image": engine.image(reference.familiar),
        "names": engine.image_names(),
        "known": str(remembered or ""),
    }
    print(json.dumps(told, default=str))


if __name__ == "__main__":
    main()
