"""Colours off a terminal: where they were asked for, and nowhere else."""

import pytest

from tests.cli.conftest import Fleet

pytestmark = [pytest.mark.redis, pytest.mark.usefixtures("served", "web1")]
GREEN = "\x1b[32mPASS"


def test_they_are_there_where_they_were_forced(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    for name in ("FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    assert GREEN not in fleet("doctor").out
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert GREEN in fleet("doctor").out
    assert GREEN not in fleet("--no-color", "doctor").out
    assert GREEN not in fleet("doctor", "--no-color").out
    assert "\x1b" not in fleet("ps").out + fleet("ps", "-o", "json").out
    monkeypatch.setenv("NO_COLOR", "1")
    assert GREEN not in fleet("doctor").out
