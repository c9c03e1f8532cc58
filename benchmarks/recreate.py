"""How long a published port does not answer while its container is recreated, beside a bare stop and start of it.

A client asks the port every 5 ms; the downtime is the time from the last answer before the gap to the first after it.
Both sides act through the same engine client, in the same process. Needs root and the lab.

Behind a proxy that finds containers by their network alias a client counts the requests that fail, with the old
container stopped first, and with the new one started first.

A client that asks while the new container's network is half there makes the host ask for its address in vain, and Linux
asks again after a second, on both sides: the second table is measured with 20 ms instead, where the difference shows.
"""

import http.client
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from benchmarks._sides import in_turn, show, show_run
from fleet.clock import SystemClock
from fleet.engine.docker import connect
from fleet.engine.protocol import Engine
from fleet.errors import FleetError
from fleet.images.digest import Digest
from fleet.images.reference import Reference
from fleet.updates.command import Policy, Target, UpdateOrder, VerifyPolicy
from fleet.updates.execute import recreate_target
from fleet.updates.journal import Journal
from fleet.updates.outcome import PullOutcome, Result, Tier
from tests.lab.behind_proxy import BehindProxy
from tests.lab.engines import Generation
from tests.lab.images import Recipe
from tests.lab.lab import Host, Lab
from tests.lab.machines import eventually
from tests.lab.registries import Registry

ROUNDS = 12
PROXIED_ROUNDS = 6
EVERY_S = 0.005
ANSWER_WITHIN_S = 0.05
PORT = 8080
_NEIGHBOUR = "/proc/sys/net/ipv4/neigh/docker0/retrans_time_ms"
_ASK_AGAIN_MS = {"1 s, as Linux does": 1000, "20 ms": 20}
SERVES = ("/bin/sh", "-c", "echo yes > /tmp/index.html; trap 'exit 0' TERM; httpd -f -p 80 -h /tmp & wait")
"""It ends at once when it is asked to, so that the time is the engine's and ours, not the program's."""
POLICY = Policy(verify=VerifyPolicy(settle_ms=500))


def main() -> None:
    """Measure on each engine, and print the times."""
    show_run("downtime of a published port: recreate, beside the engine's bare stop and start")
    with Lab() as lab:
        origin = lab.origin()
        digests = {tag: origin.push("library/web", tag, Recipe(version=tag, command=SERVES)) for tag in ("1", "2")}
        for generation in (Generation.V20, Generation.V26_CONTAINERD):
            host = lab.host(f"host-{generation.replace('.', '-')}", generation)
            engine = connect(host.engine_url)
            with tempfile.TemporaryDirectory() as folder:
                bench = Bench(host, engine, digests, Journal(Path(folder)))
                for again, ms in _ASK_AGAIN_MS.items():
                    host.machine.run("sh", "-c", f"echo {ms} > {_NEIGHBOUR}")
                    sides = {"stop + start": bench.restart, "recreate": bench.recreate}
                    show(
                        f"engine {generation}, unreachable; addresses asked again after {again}",
                        "ms",
                        in_turn(sides, ROUNDS),
                    )
            engine.close()
            with tempfile.TemporaryDirectory() as folder:
                failed_behind_proxy(host, origin, Path(folder), generation)


def failed_behind_proxy(host: Host, origin: Registry, folder: Path, generation: str) -> None:
    """Print how many requests through a proxy fail while the container behind it is updated, in either order."""
    scene = BehindProxy(host, origin, folder)
    asked: dict[str, list[float]] = {}

    def side(order: UpdateOrder) -> float:
        outcome, client = scene.update(order)
        if outcome.result is not Result.UPDATED:
            raise FleetError(f"cannot compare: {outcome.result}: {outcome.reason}")
        asked.setdefault(order, []).append(client.answered + len(client.failures))
        return float(len(client.failures))

    figures = in_turn({str(order): partial(side, order) for order in UpdateOrder}, PROXIED_ROUNDS)
    show(f"engine {generation}, failed requests behind a proxy, of so many asked", "requests", figures)
    show(f"engine {generation}, requests asked", "requests", asked)
    scene.close()


class Bench:
    """One container behind one port."""

    def __init__(self, host: Host, engine: Engine, digests: dict[str, Digest], journal: Journal) -> None:
        """Run it, and have both of its images there."""
        self._host, self._engine, self._journal = host, engine, journal
        self._digests, self._tag = digests, "1"
        for tag in digests:
            host.docker("pull", "--quiet", f"web:{tag}")
        host.docker("tag", "web:1", "web:stable")
        host.docker("run", "--detach", "--name", "web", "--publish", f"{PORT}:80", "web:stable")
        eventually("an answer of the port", lambda: answers(host.address), every_s=0.02)

    def restart(self) -> float:
        """Stop the container and start it; return how long the port did not answer, in ms."""

        def act() -> None:
            container = self._inspect()["Id"]
            self._engine.stop(container)
            self._engine.start(container)

        return self._gap(act)

    def recreate(self) -> float:
        """Recreate it from its other image, which is there already; return the same."""
        self._tag = "2" if self._tag == "1" else "1"
        image = self._engine.image(f"web:{self._tag}")
        assert image is not None
        self._host.docker("tag", f"web:{self._tag}", "web:stable")
        old = self._inspect()
        digest, reference = self._digests[self._tag], Reference.parse("web:stable")
        target = Target(
            update_id=uuid4(),
            container_id=old["Id"],
            container="web",
            image_id=old["Image"],
            reference=reference,
            digest=digest,
        )
        pull = PullOutcome(
            pull_id=uuid4(),
            reference=str(reference.pinned(digest)),
            digest=str(digest),
            ok=True,
            tier=Tier.PRESENT,
            image_id=image["Id"],
        )

        def act() -> None:
            outcome = recreate_target(
                self._engine, self._journal, target, POLICY, pull, command_id=uuid4(), clock=SystemClock()
            )
            if outcome.result is not Result.UPDATED:
                raise FleetError(f"cannot compare: {outcome.result}: {outcome.reason}")

        return self._gap(act)

    def _inspect(self) -> Any:
        found = self._engine.inspect("web")
        assert found is not None
        return found

    def _gap(self, act: Callable[[], None]) -> float:
        with Client(self._host.address) as client:
            act()
        return client.gap_ms


class Client:
    """Asks the port all the time, in a thread of its own."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._answered: list[float] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    @property
    def gap_ms(self) -> float:
        """The longest time between two answers."""
        return max(b - a for a, b in zip(self._answered, self._answered[1:], strict=False)) * 1000

    def _ask(self) -> None:
        while not self._end.is_set():
            began = time.monotonic()
            if answers(self._address):
                self._answered.append(time.monotonic())
            self._end.wait(max(0.0, began + EVERY_S - time.monotonic()))

    def __enter__(self) -> Self:
        self._thread.start()
        eventually("some answers", lambda: len(self._answered) > 20, every_s=0.01)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        before = len(self._answered)
        if error is None:
            eventually("some more answers", lambda: len(self._answered) > before + 20, every_s=0.01)
        self._end.set()
        self._thread.join()


def answers(address: str) -> bool:
    """Tell whether the port answers with what the container serves."""
    connection = http.client.HTTPConnection(address, PORT, timeout=ANSWER_WITHIN_S)
    try:
        connection.request("GET", "/index.html")
        return connection.getresponse().read() == b"yes\n"
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    main()
