"""A container behind a proxy, updated by Fleet on a real engine while a client asks for it all the time."""

import http.client
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import uuid4

from fleet.clock import SystemClock
from fleet.engine.docker import connect
from fleet.images.reference import Reference
from fleet.updates.command import Policy, Target, UpdateOrder, VerifyPolicy
from fleet.updates.execute import recreate_target
from fleet.updates.journal import Journal
from fleet.updates.outcome import PullOutcome, Tier, UpdateOutcome
from tests.lab.images import Recipe
from tests.lab.lab import Host
from tests.lab.machines import eventually
from tests.lab.registries import Registry

ROOT = Path(__file__).parents[2]
EVERY_S = 0.005
ANSWER_WITHIN_S = 15.0
"""More than the proxy takes for all the addresses that there can be: it is the one who says that nobody answers."""
PORT = 8000
NETWORK, ALIAS = "shop", "app"
SERVES = ("/bin/sh", "-c", "echo yes > /tmp/index.html; trap 'exit 0' TERM; httpd -f -p 80 -h /tmp & wait")


class BehindProxy:
    """One container that is found by its network alias, and a proxy that looks it up for each request."""

    def __init__(self, host: Host, origin: Registry, folder: Path) -> None:
        """Run both on *host*, and have a second image of the container there."""
        self.host, self.engine = host, connect(host.engine_url)
        self._journal, self._tag = Journal(folder), "1"
        self._digests = {tag: origin.push("library/app", tag, Recipe(version=tag, command=SERVES)) for tag in "12"}
        for tag in self._digests:
            host.docker("pull", "--quiet", f"app:{tag}")
        host.docker("tag", "app:1", "app:stable")
        host.docker("network", "create", NETWORK)
        in_network = ("--detach", "--net", NETWORK)
        host.docker("run", *in_network, "--name", "app-1", "--network-alias", ALIAS, "app:stable")
        host.docker("run", *in_network, "--name", "proxy", "--publish", f"{PORT}:{PORT}", "app:stable", "sleep", "9999")
        pid = host.docker("inspect", "--format", "{{.State.Pid}}", "proxy")
        python = (sys.executable, "-m", "tests.lab.proxy", ALIAS, str(PORT))
        inside = ("nsenter", "--target", pid, "--net", "--", *python)
        host.machine.start("proxy", *inside, environment={"PYTHONPATH": str(ROOT)})
        eventually("an answer through the proxy", lambda: not failure(host.address))

    def update(self, order: UpdateOrder) -> tuple[UpdateOutcome, "Client"]:
        """Update the container to its other image; return the outcome, and the client that asked meanwhile."""
        with Client(self.host.address) as client:
            outcome = self._recreate(Policy(verify=VerifyPolicy(settle_ms=500), order=order))
        return outcome, client

    def close(self) -> None:
        """Give the connections back; what runs ends with the host."""
        self.engine.close()

    def _recreate(self, policy: Policy) -> UpdateOutcome:
        self._tag = "2" if self._tag == "1" else "1"
        old, image = self.engine.inspect("app-1"), self.engine.image(f"app:{self._tag}")
        assert old is not None
        assert image is not None
        digest = self._digests[self._tag]
        self.host.docker("tag", f"app:{self._tag}", "app:stable")
        target = Target(
            update_id=uuid4(),
            container_id=old["Id"],
            container="app-1",
            image_id=old["Image"],
            reference=Reference.parse("app:stable"),
            digest=digest,
        )
        pull = PullOutcome(
            pull_id=uuid4(),
            reference=f"docker.io/library/app:stable@{digest}",
            digest=str(digest),
            ok=True,
            tier=Tier.PRESENT,
            image_id=image["Id"],
        )
        return recreate_target(
            self.engine, self._journal, target, policy, pull, command_id=uuid4(), clock=SystemClock()
        )


class Client:
    """Asks the proxy every 5 ms, or as soon as it has the answer, in a thread of its own."""

    def __init__(self, address: str) -> None:
        """Ask the proxy that is published at *address*."""
        self.answered = 0
        self.failures: list[str] = []
        """What came instead of an answer."""
        self._address, self._end = address, threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def _ask(self) -> None:
        while not self._end.is_set():
            began = time.monotonic()
            if wrong := failure(self._address):
                self.failures.append(wrong)
            else:
                self.answered += 1
            self._end.wait(max(0.0, began + EVERY_S - time.monotonic()))

    def __enter__(self) -> Self:
        self._thread.start()
        eventually("some answers", lambda: self.answered > 20, every_s=0.01)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        before = self.answered
        if error is None:
            eventually("some more answers", lambda: self.answered > before + 20, every_s=0.01)
        self._end.set()
        self._thread.join()


def failure(address: str) -> str:
    """Return what comes through the proxy instead of what the container serves; empty where that comes."""
    connection = http.client.HTTPConnection(address, PORT, timeout=ANSWER_WITHIN_S)
    try:
        connection.request("GET", "/index.html")
        answer = connection.getresponse()
        status, body = answer.status, answer.read()
        return "" if (status, body) == (200, b"yes\n") else f"{status} {body.decode(errors='replace')}"
    except (OSError, http.client.HTTPException) as e:
        return repr(e)
    finally:
        connection.close()
