"""Several pulls by the program's own puller, one after the other, as a process: run on a machine of the lab.

The argument is JSON: ``state`` (a folder), ``mirrors`` (of the policy), ``pulls`` (pairs of reference and digest). It prints each
outcome as one line of JSON, with the digests that the engine then has under the reference's name.
"""

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from uuid import uuid4

from fleet.clock import SystemClock
from fleet.engine.docker import connect
from fleet.images.digest import Digest
from fleet.images.reference import Reference
from fleet.mirrors.policy import parse_mirrors
from fleet.mirrors.sources import HostMirrors
from fleet.registry.credentials import NoCredentials
from fleet.updates.command import Policy
from fleet.updates.known import KnownDigests
from fleet.updates.pull import Puller


def main() -> None:
    """Pull, and print what came of each."""
    asked = json.loads(sys.argv[1])
    state = Path(asked["state"])
    engine, known = connect(os.environ["DOCKER_HOST"]), KnownDigests(state / "known.json")
    puller = Puller(
        engine,
        state=state,
        known=known,
        host_mirrors=HostMirrors,
        credentials=NoCredentials(),
        clock=SystemClock(),
    )
    policy = Policy(mirrors=parse_mirrors(asked["mirrors"]))
    for name, digest in asked["pulls"]:
        reference = Reference.parse(name)
        outcome = puller.pull(reference, Digest.parse(digest), pull_id=uuid4(), policy=policy, progress=lambda _: None)
        image = engine.image(reference.familiar) or {}
        print(
            json.dumps({"outcome": asdict(outcome), "digests": image.get("RepoDigests") or []}, default=str), flush=True
        )
    puller.close()


if __name__ == "__main__":
    main()
