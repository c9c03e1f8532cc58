"""What the agent's tests share."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet.road.embedded import EmbeddedBroker
from fleet.testing.clock import ManualClock
from tests import needs
from tests.agent.site import Site
from tests.memory import memory


@pytest.fixture
def clock() -> ManualClock:
    """Stand still until told to go on."""
    return ManualClock()


@pytest.fixture
def short() -> Iterator[Path]:
    """Return a folder with a short path, since a socket's must be."""
    with tempfile.TemporaryDirectory(prefix="fleet-", dir=memory()) as folder:
        yield Path(folder)


@pytest.fixture
def broker(short: Path) -> Iterator[EmbeddedBroker]:
    """Start a private broker."""
    with EmbeddedBroker(short / "broker", server=needs.redis()) as broker:
        yield broker


@pytest.fixture
def site(tmp_path: Path, clock: ManualClock) -> Site:
    """Begin with no container."""
    return Site(tmp_path, clock)
