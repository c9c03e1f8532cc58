"""One fleet for all scenarios of a session; each brings containers and images of its own."""

from collections.abc import Generator, Iterator

import pytest

from tests import needs
from tests.lab.engines import Generation
from tests.lab.lab import Lab
from tests.scenarios.small_fleet import SmallFleet


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder, so that it may leave the loopback and can be left out."""
    for item in items:
        if "tests/scenarios/" in item.path.as_posix():
            item.add_marker(pytest.mark.lab)
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="session")
def whole_fleet() -> Iterator[SmallFleet]:
    """Run one fleet for the whole session."""
    needs.lab()
    for generation in (Generation.V20, Generation.V26_CONTAINERD):
        generation.need()
    with Lab() as lab:
        yield SmallFleet(lab)


@pytest.fixture
def fleet(whole_fleet: SmallFleet) -> SmallFleet:
    """Give the fleet."""
    return whole_fleet


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the end of every log to the report of a scenario that failed."""
    report = yield
    fleet = getattr(item, "funcargs", {}).get("fleet")
    if report.failed and isinstance(fleet, SmallFleet):
        report.sections += fleet.logs()
    return report
