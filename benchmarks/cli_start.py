"""How long the command line takes to start, beside a Python that does nothing: what everybody waits for each time."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial

from benchmarks._sides import in_turn, show, show_run

ROUNDS = 25
FLEET = ("-m", "fleet.cli.main")
ENVIRONMENT = {"PATH": os.environ["PATH"], "FLEET_SERVER": "unix:///nowhere.sock"}


def main() -> None:
    """Start each in turn, and print their times."""
    show_run("start of the command line")
    sides: dict[str, Callable[[], float]] = {
        "python -c pass": partial(_start, "-c", "pass"),
        "python -c 'import click'": partial(_start, "-c", "import click"),
        "fleet --help": partial(_start, *FLEET, "--help"),
        "fleet ps (no server there)": partial(_start, *FLEET, "ps", code=8),
    }
    show("from start to end", "ms", in_turn(sides, ROUNDS, warm_up=2))


def _start(*arguments: str, code: int = 0) -> float:
    began = time.perf_counter()
    done = subprocess.run([sys.executable, *arguments], capture_output=True, env=ENVIRONMENT, check=False)
    took = time.perf_counter() - began
    assert done.returncode == code, done.stderr.decode()
    return took * 1000


if __name__ == "__main__":
    main()
