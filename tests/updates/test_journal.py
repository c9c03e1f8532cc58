"""What was written down is there after a crash, before or after and never half."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from fleet.errors import BadInput
from fleet.testing.clock import ManualClock
from fleet.testing.engine_faults import KillNow
from fleet.updates.command import Policy
from fleet.updates.journal import CommandEntry, CommandState, Journal, Stage, UpdateEntry
from fleet.updates.outcome import Phases
from tests.updates.site import COMMAND, UPDATE, Site


@pytest.fixture
def entry(site: Site) -> UpdateEntry:
    """A record of an update as it stands in the middle."""
    return UpdateEntry(
        command=COMMAND,
        target=site.target,
        policy=Policy(),
        pull=site.pull,
        stage=Stage.STOP,
        old=site.before,
        body={"Image": "app:1", "HostConfig": {"Future": [1, None, {"a": "ü"}]}},
        connect=(("back", {"Aliases": ["db"]}),),
        new_id="f" * 64,
        stopped_at=ManualClock().now(),
        phases=Phases(pull_ms=3),
        config_diff=("Config.User: unset -> 1",),
    )


def test_a_record_is_read_as_it_was_written(entry: UpdateEntry, tmp_path: Path) -> None:
    Journal(tmp_path / "j").save(entry)
    assert Journal(tmp_path / "j").update(UPDATE) == entry
    assert Journal(tmp_path / "j").updates() == [entry]
    Journal(tmp_path / "j").forget(UPDATE)
    assert Journal(tmp_path / "j").updates() == []
    Journal(tmp_path / "j").forget(UPDATE)


def test_a_record_of_a_command_is_read_as_it_was_written(tmp_path: Path) -> None:
    entry = CommandEntry(id=COMMAND, state=CommandState.OFFERED, changed_at=ManualClock().now())
    journal = Journal(tmp_path / "j")
    changed = journal.save_command(entry, state=CommandState.READY)
    assert Journal(tmp_path / "j").command(COMMAND) == changed
    journal.forget_command(COMMAND)
    assert Journal(tmp_path / "j").commands() == []


def test_only_its_owner_may_read_it(entry: UpdateEntry, tmp_path: Path) -> None:
    """The inspect of a container holds its environment, and so its secrets."""
    Journal(tmp_path / "j").save(entry)
    for path in (tmp_path / "j").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.parametrize("call", ["open", "fsync", "replace", "fsync of the folder"])
@pytest.mark.parametrize("dead", [True, False], ids=["killed", "disk full"])
def test_a_reader_finds_the_record_before_or_after(
    call: str, dead: bool, entry: UpdateEntry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill leaves what was there at that moment, the unfinished file too; nothing gets to tidy up."""
    journal = Journal(tmp_path / "j")
    journal.save(entry)
    after = replace(entry, stage=Stage.SWAP, reason="later " * 10_000)
    error = KillNow() if dead else OSError(28, "No space left on device")
    with monkeypatch.context() as patched:
        _break(patched, call, error, dead)
        with pytest.raises(type(error)):
            journal.save(after)
    found = Journal(tmp_path / "j").update(UPDATE)
    assert found == (after if call == "fsync of the folder" else entry)
    left = [path.name for path in (tmp_path / "j").rglob("*") if path.is_file()]
    assert left == [f"{UPDATE}.json"]


def _break(patched: pytest.MonkeyPatch, call: str, error: BaseException, dead: bool) -> None:
    def fail(*_: Any) -> Any:
        raise error

    if dead:
        patched.setattr(Path, "unlink", lambda *_, **__: None)
    if call == "fsync of the folder":
        patched.setattr(os, "fsync", _second_time(os.fsync, error))
    elif call == "replace":
        patched.setattr(Path, "replace", fail)
    else:
        patched.setattr(os, call, fail)


def _second_time(do: Callable[[int], None], error: BaseException) -> Callable[[int], None]:
    calls: list[int] = []

    def once(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) > 1:
            raise error
        do(descriptor)

    return once


def test_a_write_is_told_after_it_is_safe(entry: UpdateEntry, tmp_path: Path) -> None:
    told: list[tuple[str, bool]] = []
    path = tmp_path / "j"
    journal = Journal(path, after_write=lambda what: told.append((what, Journal(path).update(UPDATE) is not None)))
    journal.save(entry)
    assert told == [("update:stop", True)]


def test_a_record_that_nobody_can_read_is_named(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    (tmp_path / "j" / "updates" / f"{UPDATE}.json").write_text("{")
    with pytest.raises(BadInput, match=r"^cannot read .*written by another version"):
        journal.update(UPDATE)


def test_a_record_that_nobody_can_read_hides_no_other(entry: UpdateEntry, tmp_path: Path) -> None:
    """A power cut on a bad disk leaves zeros behind; the others are what brings their containers back."""
    journal = Journal(tmp_path / "j")
    journal.save(entry)
    for folder in ("updates", "commands"):
        (tmp_path / "j" / folder / f"{UUID(int=0)}.json").write_bytes(bytes(4096))
    assert journal.updates() == [entry]
    assert journal.commands() == []
    (told,) = journal.damaged_updates()
    assert str(told).startswith(f"cannot read {tmp_path}/j/updates/{UUID(int=0)}.json; ")


def test_a_message_is_new_once(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    assert journal.see(COMMAND)
    assert not Journal(tmp_path / "j").see(COMMAND)
    assert Journal(tmp_path / "j").see(UPDATE)


def test_leftovers_are_remembered_until_they_are_crossed_off(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    for container in ("one", "two", "one"):
        journal.add_leftover(container)
    assert Journal(tmp_path / "j").leftovers() == ["one", "two"]
    journal.drop_leftover("one")
    assert Journal(tmp_path / "j").leftovers() == ["two"]


def test_names_of_both_containers_say_whose_they_are(entry: UpdateEntry) -> None:
    assert entry.new_name == f"web.fleet-new-{UPDATE.hex[-8:]}"
    assert entry.old_name == f"web.fleet-old-{entry.target.container_id[:12]}"
    assert UUID(int=0) != entry.update_id
