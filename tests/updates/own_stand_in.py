"""A stand-in that ends at a chosen step as by a kill, the first time: ``python -m tests.updates.own_stand_in STEP FOLDER ENGINE``."""

import os
import sys
from functools import partial
from pathlib import Path

from fleet.clock import SystemClock
from fleet.engine.docker import connect
from fleet.updates.journal import Journal
from fleet.updates.own import carry_out

KILLED = 137


def main(step: str, folder: Path, url: str) -> None:
    """Take the order to its end, or die once where *step* was written down."""

    def die(what: str) -> None:
        marker = folder / "died"
        if what == f"update:{step}" and not marker.exists():
            marker.touch()
            os._exit(KILLED)  # the first process of a container cannot kill itself

    carry_out(connect(url), folder, SystemClock(), journal=partial(Journal, after_write=die))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
