"""The real agent, which kills itself when it is told to: ``python mortal_agent.py JOIN``.

Where the file FLEET_TEST_DEATH names a write of the journal (``update:stop``), it dies by SIGKILL right after that write,
as in a power cut, and the file is gone. All else is as with ``fleet agent``.
"""

import os
import select
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import SupportsIndex

from fleet.agent.process import serve, tools_of
from fleet.errors import FleetError
from fleet.road.join import JoinFile
from fleet.settings import logs
from fleet.settings.agent import AgentSettings
from fleet.updates.journal import Journal


def main(join: str) -> int:
    """Be an agent until SIGTERM, or until the write that is named."""
    if "FAKETIME" in os.environ:
        # Under libfaketime the call behind time.sleep fails while the monotonic clock is left alone.
        time.sleep = _sleep
    logs.set_up("agent")
    fatal = Path(os.environ.pop("FLEET_TEST_DEATH"))

    def die(write: str) -> None:
        if fatal.exists() and fatal.read_text() == write:
            fatal.unlink()
            os.kill(os.getpid(), signal.SIGKILL)

    settings = AgentSettings.read(join_file=join)
    tools = replace(tools_of(settings), journal=lambda path: Journal(path, after_write=die))
    try:
        serve(JoinFile.read(settings.join_file), settings.state_dir, tools)
    except FleetError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


def _sleep(seconds: SupportsIndex | float) -> None:
    select.select([], [], [], max(float(seconds), 0))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
