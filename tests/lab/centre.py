"""The centre of a lab: its processes on one machine, the fleet command there, and the agents on the hosts."""

import json
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.lab.engines import Engine
from tests.lab.machines import Machine, Running, eventually
from tests.lab.registries import Tls
from tests.lab.servers import Redis

FLEET = (sys.executable, "-m", "fleet.cli.main")
PORT = 8443
"""Of the pages, where they are served."""
_UP_WITHIN_S = 120.0
"""Generous: Python starts six times here, and the machine may be busy with other labs."""
_QUICK = {"FLEET_PLANNER_TICK_S": "0.5", "FLEET_PLANNER_RECONCILE_S": "5", "FLEET_CHECK_EVERY_S": "5"}
"""Beats as a test wants them: what is slow to be kind to registries and people has nobody to be kind to here."""


class Centre:
    """The machine of the central processes, with the settings that they read."""

    def __init__(self, machine: Machine, redis: Redis, database_url: str, environment: Mapping[str, str]) -> None:
        self.machine = machine
        self.state = machine.folder / "state"
        self.controller: Running | None = None
        self.agents: dict[str, Running] = {}
        machine.environment.update(
            {
                "FLEET_DATABASE_URL": database_url,
                "FLEET_BROKER_URL": redis.url,
                "FLEET_BROKER_CA_FILE": str(redis.tls.authority),
                "FLEET_BROKER_PUBLIC_URL": redis.address,
                "FLEET_STATE_DIR": str(self.state),
                **_QUICK,
                **environment,
            }
        )

    def listen(self, tls: Tls) -> None:
        """Let it, which must not run yet, serve its pages at a port that this machine reaches too."""
        listen = {"FLEET_LISTEN": f"{self.machine.address}:{PORT}", "FLEET_WEB_CERTIFICATE_FILE": str(tls.certificate)}
        self.machine.environment.update(listen | {"FLEET_WEB_KEY_FILE": str(tls.key)})

    def start(self) -> None:
        """Bring the database up to date, start the processes, and wait until the API answers."""
        self.fleet("db", "upgrade")
        self.controller = self.machine.start("controller", *FLEET, "controller")
        eventually("an answer of the API", self._answers, within_s=_UP_WITHIN_S, every_s=0.5)

    def stop(self) -> None:
        """End the central processes in order."""
        if self.controller is not None:
            self.controller.stop()

    def kill(self) -> None:
        """Kill the supervisor, and with it all that it started."""
        if self.controller is not None:
            self.controller.kill()

    def child(self, name: str) -> int:
        """Return the process id of one of the central processes; 0 while it does not run."""
        assert self.controller is not None
        supervisor = self.controller.pid
        for pid in Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split():
            with suppress(FileNotFoundError):
                if Path(f"/proc/{pid}/cmdline").read_text().split("\0")[-2:] == [name, ""]:
                    return int(pid)
        return 0

    def fleet(self, *arguments: str | Path, check: bool = True, timeout_s: float = 120.0) -> str:
        """Say one fleet command as a person at the centre, and return what it prints."""
        return self.machine.run(*FLEET, *arguments, check=check, timeout_s=timeout_s).stdout

    def ask(self, *arguments: str | Path) -> Any:
        """Say one fleet command with ``-o json``, and return what the JSON says."""
        return json.loads(self.fleet(*arguments, "-o", "json"))

    def add_host(self, host: Engine, **labels: str) -> Path:
        """Enrol *host* by the fleet command, and return the join file that was carried to it."""
        join = host.machine.folder / "host.join"
        options = [part for key, value in labels.items() for part in ("--label", f"{key}={value}")]
        self.fleet("host", "add", host.machine.name, "--out", join, *options)
        return join

    def start_agent(self, host: Engine, join: Path | None = None, **environment: str) -> Running:
        """Start the agent of *host* there; its state outlives it."""
        state = {"FLEET_STATE_DIR": str(host.machine.folder / "agent")}
        join = join or host.machine.folder / "host.join"
        agent = host.machine.start("agent", *FLEET, "agent", "--join", join, environment=state | environment)
        self.agents[host.machine.name] = agent
        return agent

    def _answers(self) -> bool:
        assert self.controller is not None
        if not self.controller.alive():
            raise RuntimeError(f"the controller ended: {self.controller.tail()}")
        return self.machine.run(*FLEET, "host", "ls", check=False).returncode == 0
