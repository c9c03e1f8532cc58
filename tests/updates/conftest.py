"""What the tests of this room share."""

import os
from pathlib import Path

import pytest

from tests.contracts.conftest import bed as bed
from tests.contracts.conftest import engines as engines
from tests.updates.site import Site
from tests.updates.zoo import ZOO


@pytest.fixture
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the waiting for the disk, where thousands of writes are made and no power goes."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A host with one plain container and a newer image."""
    return Site(tmp_path)


CHOSEN = (
    "volumes",
    "removed when it stops",
    "the default network and one more",
    "environment and labels",
    "a chosen MAC address",
)
"""What of the zoo meets a second real engine, or comes a second time, in every run of the tests."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave most of the zoo on real engines to the long matrix: the older shapes meet the oldest engine always."""
    for item in items:
        if item.path.name != "test_zoo.py" or item.get_closest_marker("lab") is None:
            continue
        shape = getattr(item, "callspec").params.get("animal")  # noqa: B009
        first = "[20.10-" in item.name and item.name.startswith("test_it_comes_through") and shape in ZOO
        if not first and not item.name.endswith(tuple(f"-{shape}]" for shape in CHOSEN)):
            item.add_marker(pytest.mark.full)
