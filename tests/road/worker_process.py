"""A worker in a process of its own, started by tests: ``python worker_process.py KIND LOG JOIN|BROKER``.

It writes a line for everything that happens into the file LOG: ``ready``, ``begin TEXT``, ``end TEXT``, ``beat NAME``.
"""

import logging
import sys
import threading
import time
from functools import partial
from pathlib import Path

from fleet.errors import FleetError
from fleet.road import app, worker
from fleet.road.broker import BrokerAddress
from fleet.road.join import JoinFile


def note(log: Path, line: str) -> None:
    """Write one line at once."""
    with log.open("a") as file:
        file.write(line + "\n")


def handle(join: JoinFile, log: Path, sealed: str) -> None:
    """Do what the message says: ``fail``, ``sleep:SECONDS``, ``login:PASSWORD``, ``hold`` until there is a file, or nothing."""
    note(log, f"begin {sealed}")
    if sealed.startswith("fail"):
        raise RuntimeError("the message says so")
    if sealed.startswith("sleep:"):
        time.sleep(float(sealed.split(":")[1]))
    if sealed.startswith("login:"):
        worker.log_in_as(join.broker.with_login(join.broker.username, sealed.split(":")[1]))
    if "hold" in sealed:
        note(log, "holds")
        while not log.with_name("let-go").exists():
            time.sleep(0.02)
    note(log, f"end {sealed}")


def tell_heard(log: Path) -> None:
    """Tell when the broker answered for the first time."""
    while worker.last_heard() is None:
        time.sleep(0.05)
    note(log, "heard")


def main(kind: str, log: Path, where: str) -> int:
    """Run one worker until SIGTERM; what it logs goes to stderr, as an agent's does. It does not read for long at a time."""
    app.POLL_S = 1
    logging.basicConfig()
    try:
        if kind == "host":
            join = JoinFile.read(Path(where))
            threading.Thread(target=tell_heard, args=[log], daemon=True).start()
            take = partial(handle, join, log)
            worker.run_host_worker(join.broker, join.host_id, take, on_ready=lambda: note(log, "ready"))
        elif kind == "tick":
            others = {"probe": lambda: note(log, "beat probe")}
            worker.run_tick_worker(BrokerAddress.parse(where), lambda: note(log, "beat tick"), others)
        else:
            worker.run_beat(BrokerAddress.parse(where), 0.2, {"probe": 0.3})
    except FleetError as error:
        note(log, f"ended {type(error).__name__}: {error}")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3]))
