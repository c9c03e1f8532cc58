"""The engines on which faults happen, and the line that says how many did."""

from collections.abc import Iterator

import pytest

from tests import needs
from tests.injection.fields import FieldOf, fields

COUNTED = "fault cases"
"""The property of a test's report: how many cases it tried, and how many held."""


@pytest.fixture(scope="session")
def field_of() -> Iterator[FieldOf]:
    """Give an engine of each generation for faults, the same to all tests."""
    needs.lab()
    with fields() as of:
        yield of


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many faults were tried, and in how many cases the promise held."""
    reports = [*terminalreporter.stats.get("passed", ()), *terminalreporter.stats.get("failed", ())]
    told = [value for report in reports for name, value in report.user_properties if name == COUNTED]
    if told:
        tried, held = (sum(numbers) for numbers in zip(*told, strict=True))
        terminalreporter.write_line(f"fault injection on real engines: {tried} cases, the promise held in {held}")
