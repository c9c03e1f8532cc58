"""Docker engines of several generations, each on a machine of its own.

``start_engine`` gives one engine to whoever needs no more; the lab's hosts build on ``Engine``.
"""

import http.client
import json
import os
import signal
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any

from fleet.errors import FleetError
from tests import needs
from tests.lab.machines import Machine, Running, eventually

CACHE = Path(os.environ.get("FLEET_LAB_CACHE", "/var/cache/fleet-lab"))
"""Where scripts/install-engines puts them."""
_UP_WITHIN_S = 120.0
_SHORT_TIMEOUTS = {"shutdown-timeout": 3}


class Generation(StrEnum):
    """The engines that must pass: one for each way in which users' engines differ."""

    V20 = "20.10"
    """Debian 12's: API 1.41, graph drivers, no path in a mirror's address."""
    V26 = "26.1"
    """Debian 13's: API 1.45, graph drivers."""
    V26_CONTAINERD = "26.1-containerd"
    """The same with containerd's image store, then an option."""
    V29 = "29"
    """What most run today: containerd's image store by default, API 1.44 and later only."""

    @property
    def release(self) -> str:
        """The release whose programs it runs."""
        return self.value.removesuffix("-containerd")

    @property
    def programs(self) -> Path:
        """The folder of its programs."""
        return CACHE / self.release / "bin"

    @property
    def installed(self) -> bool:
        """Tell whether scripts/install-engines has put it there."""
        return (self.programs / "dockerd").exists()

    @property
    def containerd_store(self) -> bool:
        """Tell whether images are kept by containerd rather than by a graph driver."""
        return self in (Generation.V26_CONTAINERD, Generation.V29)

    @property
    def options(self) -> dict[str, Any]:
        """What its daemon.json must say for it to be what it is."""
        return {"features": {"containerd-snapshotter": True}} if self is Generation.V26_CONTAINERD else {}

    def need(self) -> None:
        """Return if it is installed; else skip the test, or fail it in CI."""
        if not self.installed:
            needs.missing(f"engine {self.release}", f"scripts/install-engines packages {self.release}")


class Engine:
    """One dockerd with its own data, daemon.json and socket, on *machine*."""

    def __init__(self, machine: Machine, generation: Generation) -> None:
        self.machine = machine
        self.generation = generation
        self.socket = machine.folder / "docker.sock"
        self.options: dict[str, Any] = {}
        self._running: Running | None = None
        machine.environment["PATH"] = f"{generation.programs}:{machine.environment['PATH']}"
        machine.environment["DOCKER_HOST"] = self.url

    @property
    def url(self) -> str:
        """Its socket, reachable from its own machine and from here."""
        return f"unix://{self.socket}"

    def configure(self, options: Mapping[str, Any]) -> None:
        """Write daemon.json; an engine that runs reads it when it is restarted."""
        self.options = _SHORT_TIMEOUTS | self.generation.options | dict(options)
        self.machine.write("/etc/docker/daemon.json", json.dumps(self.options, indent=2) + "\n")

    def start(self) -> None:
        """Start it, without waiting until it answers."""
        # What a power cut leaves behind: dockerd would take the number for a running one.
        for file in ("docker.pid", "docker/containerd/containerd.pid"):
            (self.machine.root / "run" / file).unlink(missing_ok=True)
        arguments = ["--data-root", f"{self.machine.folder}/data", "--cgroup-parent", f"/{self.machine.place.bridge}"]
        sockets = ["-H", "unix:///run/docker.sock", "-H", self.url]
        self._running = self.machine.start("dockerd", "dockerd", *arguments, *sockets)

    def ready(self) -> None:
        """Wait until it answers; raise FleetError with the end of its log when it does not."""
        running = self._started()
        eventually(
            f"an answer of engine {self.generation} on {self.machine.name}",
            lambda: self.answers() or not running.alive(),
            within_s=_UP_WITHIN_S,
        )
        if not running.alive():
            raise FleetError(f"cannot start engine {self.generation} on {self.machine.name}: {running.tail()}")

    def answers(self) -> bool:
        """Tell whether it answers a ping within a second."""
        try:
            return self.get("/_ping", timeout_s=1.0)[0] == http.client.OK
        except OSError:
            return False

    def get(self, path: str, *, timeout_s: float = 10.0) -> tuple[int, bytes]:
        """Ask its API without any library; return status and body."""
        connection = http.client.HTTPConnection("engine", timeout=timeout_s)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(timeout_s)
        try:
            connection.sock.connect(str(self.socket))
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def facts(self) -> dict[str, Any]:
        """Return its version and its info in one."""
        version, info = (json.loads(self.get(path)[1]) for path in ("/version", "/info"))
        return {**version, **info}

    def stop(self) -> None:
        """End it in order; its containers stop too."""
        self._started().stop(patience_s=30.0)

    def kill(self) -> None:
        """Kill dockerd alone, at once; its containers run on without it."""
        self._started().kill()

    def pause(self) -> None:
        """Let it hang: connections are taken, nothing is answered."""
        self._started().send(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._started().send(signal.SIGCONT)

    def restart(self) -> None:
        """Stop it in order, start it, and wait until it answers."""
        self.stop()
        self.start()
        self.ready()

    def reload(self) -> None:
        """Let it read its daemon.json again while it runs."""
        self._started().send(signal.SIGHUP)

    def log(self, lines: int = 30) -> str:
        """Return the end of its log."""
        return self._started().tail(lines)

    def _started(self) -> Running:
        assert self._running is not None, f"the engine on {self.machine.name} was never started"
        return self._running


@contextmanager
def start_engine(generation: str, options: Mapping[str, Any] | None = None) -> Iterator[str]:
    """Run one engine of *generation* in a lab of its own; give the URL of its socket."""
    from tests.lab.lab import Lab

    with Lab() as lab:
        yield lab.host("engine", generation, options=options).engine_url
