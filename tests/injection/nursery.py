"""Where agents are born and may be killed: ``python -m tests.injection.nursery SOCKET``.

It loads what an agent needs once, and forks a process for each life that is asked for over SOCKET. A life says its number,
then what came of it; a life that is killed says no more. One thread, so that a fork copies nothing half done.
"""

import json
import os
import signal
import socket
import sys
import traceback
from pathlib import Path
from typing import IO
from uuid import UUID

from pydantic import TypeAdapter

from fleet.clock import SystemClock
from fleet.engine.docker import connect
from fleet.errors import EngineUnreachable
from fleet.updates.command import Policy, Target
from fleet.updates.execute import recover, recreate_target
from fleet.updates.journal import Journal
from fleet.updates.outcome import PullOutcome, UpdateOutcome
from tests.injection.asking import ask

ORDER = TypeAdapter(tuple[Target, Policy, PullOutcome])
OUTCOME = TypeAdapter(UpdateOutcome)
COMMAND = UUID(int=1)
PID, OUTCOME_TOLD, AWAY, BROKEN = "pid", "outcome", "engine away", "broken"
"""What a life says: its number; and then its outcome, that the engine was away, or what it broke by."""


class WatchedJournal(Journal):
    """The journal as it is, whose writes are told before and after to whoever stands between agent and engine."""

    between: str

    def _write(self, file: Path, content: bytes, what: str) -> None:
        ask(self.between, "POST", f"/journal/before/{what}")
        super()._write(file, content, what)
        ask(self.between, "POST", f"/journal/after/{what}")


def live(between: str, journal: str, order: str, timeout_s: float) -> UpdateOutcome:
    """Do as an agent at its start: end what is in flight, else carry the order out."""
    engine = connect(f"unix://{between}", timeout_s)
    watched = type("Watched", (WatchedJournal,), {"between": between})(Path(journal))
    known = [outcome for _, outcome in recover(engine, watched, SystemClock())]
    if known:
        return known[0]
    target, policy, pull = ORDER.validate_json(order)
    return recreate_target(engine, watched, target, policy, pull, command_id=COMMAND, clock=SystemClock())


def _say(to: IO[str], what: str, told: object) -> None:
    to.write(json.dumps({what: told}) + "\n")
    to.flush()


def _be_born(connection: socket.socket) -> None:
    with connection.makefile("rw") as line:
        asked = json.loads(line.readline())
        _say(line, PID, os.getpid())
        try:
            _say(line, OUTCOME_TOLD, OUTCOME.dump_python(live(**asked), mode="json"))
        except EngineUnreachable as error:
            _say(line, AWAY, str(error))
        except BaseException:
            _say(line, BROKEN, traceback.format_exc())


def main(path: str) -> None:
    """Fork a life for each connection, until the one who asked for the nursery has gone."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(path)
        door.listen(64)
        print("ready", flush=True)
        while True:
            connection, _ = door.accept()
            if os.fork() == 0:
                door.close()
                _be_born(connection)
                os._exit(0)
            connection.close()


if __name__ == "__main__":
    main(sys.argv[1])
