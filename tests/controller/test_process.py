"""One process of the centre says in one line why it ends."""

import errno
import gc
import sys
from pathlib import Path
from types import ModuleType

import pytest

from fleet.controller import process
from fleet.settings import logs
from fleet.settings.centre import CentreSettings


def test_a_full_disk_ends_it_in_one_line(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/state/centre.key")

    monkeypatch.setattr(process, "run", full)
    monkeypatch.setattr(logs, "set_up", lambda *_, **__: None)
    assert process.main(["planner"]) == 1
    (record,) = caplog.records
    assert vars(record)["reason"] == "cannot go on with /state/centre.key: No space left on device"
    assert record.exc_info is None


def test_it_looks_for_garbage_once_it_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """While its modules are loaded it does not; a process that never did again would grow."""
    seen, home = list[bool](), ModuleType("home")
    monkeypatch.setattr(home, "run", lambda _: seen.append(gc.isenabled()), raising=False)
    monkeypatch.setitem(sys.modules, "home", home)
    monkeypatch.setattr(process, "HOMES", {"planner": "home"})
    monkeypatch.setattr(logs, "set_up", lambda *_, **__: None)
    before = gc.get_threshold()
    try:
        process.run("planner", CentreSettings.read(state_dir=tmp_path))
    finally:
        gc.set_threshold(*before)
        gc.enable()
    assert seen == [True]
