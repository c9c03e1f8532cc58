"""Files that stand only in the writable layer are told, refused or copied, and never lost in silence."""

from pathlib import Path

import pytest

from fleet.errors import EngineError
from fleet.updates.command import LooseFiles, Policy, VerifyPolicy
from fleet.updates.loose import MOST_TOLD, select, told
from fleet.updates.outcome import Result
from tests.contracts.beds import Bed, eventually, run
from tests.updates.site import Shape, Site

pytestmark = pytest.mark.usefixtures("quick_disk")
FILES = {"/etc/app.conf": b"mine"}


def site_with(policy: LooseFiles, path: Path) -> Site:
    """A host whose container has a loose file."""
    whole = Policy(verify=VerifyPolicy(settle_ms=500), loose_files=policy)
    return Site(path, Shape(policy=whole, files=FILES))


def test_what_mounts_cover_and_where_files_come_and_go_is_not_loose() -> None:
    inspect = {"Mounts": [{"Destination": "/data"}, {"Destination": "/mnt/deep"}], "HostConfig": {"Tmpfs": {"/x": ""}}}
    changes = ["/data", "/mnt", "/mnt/deep", "/tmp/a", "/run", "/run/pid", "/x", "/var", "/var/log", "/var/log/l"]
    assert select(dict.fromkeys(changes, False), inspect) == ()
    assert select(dict.fromkeys(changes, True) | {"/mnt/more": True, "/var": False}, inspect) == ("/mnt/more",)


def test_of_a_folder_what_changed_in_it_is_loose_and_a_new_one_is_so_as_a_whole() -> None:
    changes = {"/etc": False, "/etc/app.conf": True, "/srv": True, "/srv/a": True, "/srv/a/b": True, "/runner": True}
    assert select(changes, {"HostConfig": {}}) == ("/etc/app.conf", "/runner", "/srv")


def test_many_are_counted() -> None:
    lines = told([f"/srv/{number}" for number in range(MOST_TOLD + 5)], copied=False)
    assert len(lines) == MOST_TOLD + 1
    assert lines[-1] == "Files: 5 more of them -> not carried over"


def test_a_warning_names_them(tmp_path: Path) -> None:
    outcome = site_with(LooseFiles.WARN, tmp_path).update()
    assert outcome.result is Result.UPDATED
    assert "Files./etc/app.conf: only in the writable layer -> not carried over" in outcome.config_diff


def test_a_refusal_touches_nothing(tmp_path: Path) -> None:
    site = site_with(LooseFiles.REFUSE, tmp_path)
    outcome = site.update()
    assert outcome.result is Result.SKIPPED
    assert "as /etc/app.conf" in outcome.reason
    assert site.engine.running()["web"] == site.before


def test_where_there_is_none_a_refusal_refuses_nothing(tmp_path: Path) -> None:
    policy = Policy(verify=VerifyPolicy(settle_ms=500), loose_files=LooseFiles.REFUSE)
    assert Site(tmp_path, Shape(policy=policy)).update().result is Result.UPDATED


def test_copied_ones_are_in_the_new_container_before_the_old_one_is_stopped(tmp_path: Path) -> None:
    site = site_with(LooseFiles.COPY, tmp_path)
    outcome = site.update()
    calls = [call.name for call in site.engine.calls]
    assert calls.index("create") < calls.index("write_files") < calls.index("stop")
    assert site.engine.world.must("web", "read").files == FILES
    assert "Files./etc/app.conf: only in the writable layer -> copied" in outcome.config_diff


def test_a_copy_that_fails_touches_nothing(tmp_path: Path) -> None:
    site = site_with(LooseFiles.COPY, tmp_path)
    site.engine.fail("write_files", EngineError("cannot write files: no space left", status=500))
    outcome = site.update()
    assert outcome.result is Result.FAILED
    assert site.engine.running()["web"] == site.before
    assert site.engine.names() == ["bystander", "web"]


@pytest.mark.parametrize("policy", [LooseFiles.REFUSE, LooseFiles.COPY])
def test_an_engine_that_cannot_tell_is_a_failure_unless_a_warning_was_all(policy: LooseFiles, tmp_path: Path) -> None:
    for asked, result in ((policy, Result.FAILED), (LooseFiles.WARN, Result.UPDATED)):
        site = site_with(asked, tmp_path / asked)
        site.engine.fail("changes", EngineError("cannot read the changed files", status=500))
        outcome = site.update()
        assert outcome.result is result
        assert any("cannot tell which files" in line for line in outcome.config_diff) is (asked is LooseFiles.WARN)


@pytest.mark.full
def test_a_real_engine_tells_and_copies_them(bed: Bed) -> None:
    """A file that one container wrote beside its volumes is found, and comes into another with its content."""
    if type(bed).__name__ == "MemoryBed":
        pytest.skip("the stand-in has no programs that write")
    from fleet.updates.loose import copy_files, loose_files

    waits = "trap 'exit 0' TERM; while :; do sleep 1; done"
    script = f"echo mine > /etc/app.conf; mkdir /srv /srv/deep; echo 1 > /srv/deep/er; {waits}"
    bed.image("app:1", Volumes={"/data": {}}, Cmd=["sh", "-c", script])
    old = run(bed, "old", "app:1", HostConfig={"Binds": ["/etc:/mnt/deep/etc:ro"]})
    found = ("/etc/app.conf", "/srv")
    eventually(bed, f"{found} to be told", lambda: loose_files(bed.engine, old) == found)
    other = run(bed, "new", "app:1", Cmd=["sh", "-c", waits])
    copy_files(bed.engine, found, old["Id"], other["Id"])
    assert loose_files(bed.engine, other) == found
    assert b"mine" in bed.engine.read_files(other["Id"], "/etc/app.conf", most_bytes=10_000)
    with pytest.raises(EngineError, match="over 10 bytes"):
        bed.engine.read_files(other["Id"], "/etc/app.conf", most_bytes=10)
