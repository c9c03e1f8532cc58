"""What the tests of this room share."""

import os
from pathlib import Path

import pytest

from tests.contracts.conftest import bed as bed
from tests.contracts.conftest import engines as engines
from tests.updates.site import Site


@pytest.fixture
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the waiting for the disk, where thousands of writes are made and no power goes."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A host with one plain container and a newer image."""
    return Site(tmp_path)
