"""Pulls by the program's own puller, as a process that is told what to do line by line: run on a machine of the lab.

Each line is JSON: ``state`` (a folder), ``pulls`` (each a reference, a digest, and the mirrors of the policy), and
``insecure`` (registries in plain http). A line has a gateway of its own, which knows nothing of the lines before, unless
it says ``kept``: then the lines of one state have one gateway, as those of one agent. Each outcome is answered with one
line of JSON, with the id and the digests that the engine then has under the reference's name. It has a password of Docker
Hub, which no mirror may ever see.
"""

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import uuid4

from fleet.clock import SystemClock
from fleet.engine.docker import connect
from fleet.engine.protocol import Engine
from fleet.images.digest import Digest
from fleet.images.reference import Reference
from fleet.mirrors.policy import parse_mirrors
from fleet.mirrors.sources import HostMirrors
from fleet.registry.credentials import Credentials
from fleet.updates.command import Policy
from fleet.updates.known import KnownDigests
from fleet.updates.pull import Puller

USER, PASSWORD = "hub-user", "hub-password-of-this-host"
_HUB = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io", "https://index.docker.io/v1/"})


class HubLogin:
    """Knows the password of Docker Hub and no other."""

    async def for_host(self, host: str) -> Credentials | None:
        """Return it to whoever asks in Docker Hub's name."""
        return Credentials(username=USER, password=PASSWORD) if host in _HUB else None


def main() -> None:
    """Do what each line says, to the last; or what the arguments after ``--once`` say."""
    engine, kept = connect(os.environ["DOCKER_HOST"]), dict[str, Puller]()
    for line in sys.argv[2:] or sys.stdin:
        asked = json.loads(line)
        puller = kept.get(asked["state"]) or _puller(asked, engine)
        _pull(asked, engine, puller)
        if asked.get("kept"):
            kept[asked["state"]] = puller
        else:
            puller.close()
    for puller in kept.values():
        puller.close()


def _puller(asked: Any, engine: Engine) -> Puller:
    """Begin as an agent does at its start: what that takes is no part of a pull."""
    state, insecure = Path(asked["state"]), tuple(asked.get("insecure", ()))
    state.mkdir(exist_ok=True)
    puller = Puller(
        engine,
        state=state,
        known=KnownDigests(state / "known.json"),
        host_mirrors=lambda: HostMirrors(insecure=insecure),
        credentials=HubLogin(),
        clock=SystemClock(),
    )
    puller.open()
    return puller


def _pull(asked: Any, engine: Engine, puller: Puller) -> None:
    """Pull, and print what came of each."""
    for name, digest, mirrors in asked["pulls"]:
        reference, policy = Reference.parse(name), Policy(mirrors=parse_mirrors(mirrors))
        outcome = puller.pull(reference, Digest.parse(digest), pull_id=uuid4(), policy=policy, progress=lambda _: None)
        image = engine.image(reference.familiar) or {}
        told = {"outcome": asdict(outcome), "id": image.get("Id", ""), "digests": image.get("RepoDigests") or []}
        print(json.dumps(told, default=str), flush=True)


if __name__ == "__main__":
    main()
