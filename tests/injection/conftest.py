"""The engines on which faults happen, and the line that says how many did."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests import needs
from tests.injection.field import Field, field
from tests.lab.engines import Generation
from tests.lab.lab import Lab

ROOT = Path(__file__).parents[2]
COUNTED = "fault cases"
"""The property of a test's report: how many cases it tried, and how many held."""
FieldOf = Callable[[Generation], Field]


@contextmanager
def nursery() -> Iterator[Path]:
    """Run the process from which agents are born; give its socket."""
    with TemporaryDirectory(prefix="fleet-nursery-") as folder:
        door = Path(folder) / "door"
        program = [sys.executable, "-m", "tests.injection.nursery", str(door)]
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
    needs.lab()
    with nursery() as door, Lab() as lab, ExitStack() as stack:
        known: dict[Generation, Field] = {}

        def of(generation: Generation) -> Field:
            generation.need()
            if generation not in known:
                known[generation] = stack.enter_context(field(lab, generation, door))
            return known[generation]

        yield of


@pytest.fixture(scope="session")
def field_of() -> Iterator[FieldOf]:
    """Give an engine of each generation for faults, the same to all tests."""
    with fields() as of:
        yield of


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many faults were tried, and in how many cases the promise held."""
    reports = [*terminalreporter.stats.get("passed", ()), *terminalreporter.stats.get("failed", ())]
    told = [value for report in reports for name, value in report.user_properties if name == COUNTED]
    if told:
        tried, held = (sum(numbers) for numbers in zip(*told, strict=True))
        terminalreporter.write_line(f"fault injection on real engines: {tried} cases, the promise held in {held}")
