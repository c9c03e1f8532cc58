"""The engines on which faults happen, and the process from which their agents are born."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.injection.field import Field, field
from tests.lab.engines import Generation
from tests.lab.lab import Lab

ROOT = Path(__file__).parents[2]
FieldOf = Callable[[Generation], Field]


@contextmanager
def nursery() -> Iterator[Path]:
    """Run the process from which agents are born; give its socket."""
    with TemporaryDirectory(prefix="fleet-nursery-") as folder:
        door = Path(folder) / "door"
        # The kernel ends it with this thread, so that a run that is killed leaves nothing running.
        program = ["setpriv", "--pdeathsig", "KILL", sys.executable, "-m", "tests.injection.nursery", str(door)]
        with subprocess.Popen(program, cwd=ROOT, stdout=subprocess.PIPE, text=True) as running:
            try:
                assert running.stdout is not None
                assert running.stdout.readline() == "ready\n"
                yield door
            finally:
                running.kill()


@contextmanager
def fields() -> Iterator[FieldOf]:
    """Give an engine of each generation, started when it is first asked for."""
    with nursery() as door, Lab() as lab, ExitStack() as stack:
        known: dict[Generation, Field] = {}

        def of(generation: Generation) -> Field:
            generation.need()
            if generation not in known:
                known[generation] = stack.enter_context(field(lab, generation, door))
            return known[generation]

        yield of
