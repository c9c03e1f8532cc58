"""Settings are read in an environment that holds nothing of this machine's."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Take away every FLEET_ variable and the machine's own file; yield the file that is read instead."""
    for name in list(os.environ):
        if name.startswith("FLEET_"):
            monkeypatch.delenv(name)
    file = tmp_path / "fleet.toml"
    monkeypatch.setattr("fleet.settings.sources.CONFIG_FILE", file)
    yield file
