"""A small agent that is killed at a chosen step: ``python -m tests.updates.victim ENGINE JOURNAL ORDER STEP DELAY``.

ORDER is a JSON file with the target and the pull; STEP is what the journal tells of a write, ``update:stop``.
"""

import os
import signal
import sys
import threading
from pathlib import Path
from uuid import UUID

from pydantic import TypeAdapter

from fleet.clock import SystemClock
from fleet.engine.docker import connect
from fleet.updates.command import Policy, Target, VerifyPolicy
from fleet.updates.execute import recreate_target
from fleet.updates.journal import Journal
from fleet.updates.outcome import PullOutcome

ORDER = TypeAdapter(tuple[Target, PullOutcome])
POLICY = Policy(verify=VerifyPolicy(settle_ms=300, deadline_ms=90_000))
COMMAND = UUID(int=1)


def main(url: str, journal: str, order: str, step: str, delay_s: float) -> None:
    """Carry the order out, and die by SIGKILL *delay_s* after *step* was written down."""

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def told(what: str) -> None:
        if what == step and delay_s:
            threading.Timer(delay_s, die).start()
        elif what == step:
            die()

    target, pull = ORDER.validate_json(Path(order).read_bytes())
    keeper = Journal(Path(journal), after_write=told)
    recreate_target(connect(url), keeper, target, POLICY, pull, command_id=COMMAND, clock=SystemClock())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4], float(sys.argv[5]))
