"""What an idle fleet costs: memory of the agent and of each central process, and connections at the broker.

Beside each stands a Python that has loaded nothing. The proportional size counts pages that processes share by parts;
the resident size counts them in each. Needs root and the lab.
"""

import subprocess
import sys
import time
from pathlib import Path

from benchmarks._sides import show, show_run
from tests.lab.engines import Generation
from tests.lab.images import Recipe
from tests.lab.lab import Lab
from tests.lab.machines import eventually
from tests.lab.servers import CENTRE

CONTAINERS = 20
LOOKS, EVERY_S = 6, 5.0
IDLE_FIRST_S = 20.0
PROCESSES = ("web", "planner", "inbox", "beat")


def main() -> None:
    """Let a fleet of one host be idle, and print what it takes."""
    show_run(f"memory of an idle fleet: one host with {CONTAINERS} containers, SQLite, Redis with TLS")
    bare = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
    try:
        with Lab() as lab:
            _measure(lab, bare.pid)
    finally:
        bare.kill()
        bare.wait()


def _measure(lab: Lab, bare: int) -> None:
    lab.origin().push("library/idle", "1", Recipe())
    host, redis = lab.host("host", Generation.V20), lab.redis()
    host.docker("pull", "--quiet", "idle:1")
    for number in range(CONTAINERS):
        host.docker("run", "--detach", "--name", f"idle{number}", "--network", "none", "idle:1")
    centre = lab.centre(redis, "", FLEET_PLANNER_TICK_S="2", FLEET_CHECK_EVERY_S="60", FLEET_PLANNER_RECONCILE_S="60")
    centre.start()
    agent = centre.start_agent(host, centre.add_host(host))
    eventually("all containers", lambda: len(centre.ask("ps")["containers"]) == CONTAINERS, within_s=120, every_s=1)
    time.sleep(IDLE_FIRST_S)
    assert centre.controller is not None
    supervisor = centre.controller.pid
    pids = {"a bare Python": bare, "agent": agent.pid, "controller: supervisor": supervisor}
    pids |= {f"controller: {name}": _child(supervisor, name) for name in PROCESSES}
    resident: dict[str, list[float]] = {name: [] for name in pids}
    proportional: dict[str, list[float]] = {name: [] for name in pids}
    processor = {name: _cpu_s(pid) for name, pid in pids.items()}
    began = time.monotonic()
    for _ in range(LOOKS):
        time.sleep(EVERY_S)
        for name, pid in pids.items():
            resident[name].append(_mib(pid, "Rss"))
            proportional[name].append(_mib(pid, "Pss"))
    passed = time.monotonic() - began
    show("resident size", "MiB", resident)
    show("proportional size", "MiB", proportional)
    print(f"processor time while idle, over {passed:.0f} s")
    for name, pid in pids.items():
        print(f"  {name:<34}{(_cpu_s(pid) - processor[name]) / passed * 100:>6.1f} % of one core")
    _show_connections(redis.ask("CLIENT", "LIST"))


def _show_connections(listed: str) -> None:
    users = [
        field.removeprefix("user=") for row in listed.splitlines() for field in row.split() if field[:5] == "user="
    ]
    own = users.count(CENTRE) - 1  # the one that asks
    print(f"\nconnections at the broker: {len(users) - users.count(CENTRE)} of the agent, {own} of the centre")


def _child(parent: int, name: str) -> int:
    for task in Path(f"/proc/{parent}/task").iterdir():
        for pid in (task / "children").read_text().split():
            if f"process\0{name}\0" in Path(f"/proc/{pid}/cmdline").read_text():
                return int(pid)
    raise LookupError(name)


def _mib(pid: int, field: str) -> float:
    rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(row.split()[1]) for row in rows if row.startswith(f"{field}:")) / 1024


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


if __name__ == "__main__":
    main()
