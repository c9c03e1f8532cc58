"""One process of the centre says in one line why it ends."""

import errno

import pytest

from fleet.controller import process
from fleet.settings import logs


def test_a_full_disk_ends_it_in_one_line(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/state/centre.key")

    monkeypatch.setattr(process, "run", full)
    monkeypatch.setattr(logs, "set_up", lambda *_, **__: None)
    assert process.main(["planner"]) == 1
    (record,) = caplog.records
    assert vars(record)["reason"] == "cannot go on with /state/centre.key: No space left on device"
    assert record.exc_info is None
