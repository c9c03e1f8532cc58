"""A real agent process over a pretended engine, started by tests: ``python driver.py JOIN STATE ENGINE DEATH``.

Where the file DEATH names a write of the journal (``update:stop``), the process kills itself right after that write.
"""

import os
import signal
import sys
from pathlib import Path

from fleet.agent.agent import Tools
from fleet.agent.facts import Facts
from fleet.agent.process import serve
from fleet.clock import SystemClock
from fleet.engine.protocol import Engine
from fleet.errors import FleetError
from fleet.mirrors.sources import HostMirrors
from fleet.registry.credentials import NoCredentials
from fleet.road.join import JoinFile
from fleet.settings import logs
from fleet.updates.journal import Journal
from fleet.updates.known import KnownDigests
from fleet.updates.pull import Puller
from tests.agent.engine_server import RemoteEngine


def main(join: str, state: str, engine: str, death: str) -> int:
    """Be an agent until SIGTERM."""
    logs.set_up("agent")
    fatal = Path(death)

    def die(write: str) -> None:
        if fatal.exists() and fatal.read_text() == write:
            fatal.unlink()
            os.kill(os.getpid(), signal.SIGKILL)

    def pulls(engine: Engine, state: Path, known: KnownDigests, facts: Facts) -> Puller:
        return Puller(
            engine,
            state=state,
            known=known,
            host_mirrors=facts.mirrors,
            credentials=NoCredentials(),
            clock=SystemClock(),
            port=0,
        )

    tools = Tools(
        connect=lambda: RemoteEngine(engine),
        pulls=pulls,
        credentials=NoCredentials(),
        read_mirrors=lambda facts: HostMirrors(),
        clock=SystemClock(),
        journal=lambda path: Journal(path, after_write=die),
        heartbeat_s=2.0,
    )
    try:
        serve(JoinFile.read(Path(join)), Path(state), tools)
    except FleetError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
