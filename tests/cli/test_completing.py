"""Names that a shell completes: from the server, quickly, or none at all."""

import contextlib
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import click
import pytest

from fleet.cli import completing
from tests.cli.conftest import Fleet
from tests.cli.test_start import HEAVY
from tests.controller.centre import Centre, ScriptedHost

pytestmark = [pytest.mark.redis]


def _completed(words: str, cache: Path, **environment: str) -> tuple[list[str], set[str]]:
    """Return what a shell would offer for the last of *words*, and which heavy modules that loaded."""
    probe = (
        "import sys\nfrom fleet.cli.main import fleet\ntry:\n    fleet.main(prog_name='fleet')\nexcept SystemExit:\n"
        f"    print('\\0' + ' '.join(m for m in {HEAVY!r} if m in sys.modules), file=sys.stderr)"
    )
    asked = {"_FLEET_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    done = subprocess.run(
        [sys.executable, "-c", probe],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={**os.environ, "XDG_CACHE_HOME": str(cache), **asked, **environment},
    )
    names = [line.partition(",")[2] for line in done.stdout.splitlines() if line]
    return names, set(done.stderr.rpartition("\0")[2].split())


@pytest.fixture
def several(fleet: Fleet, centre: Centre, web1: ScriptedHost, served: Path) -> None:
    """A centre with names of every kind."""
    centre.add_host("web-2")
    centre.add_host("db-1")
    fleet("schedule", "create", "nightly", "--cron", "0 3 * * *")
    fleet("cap", "set", "site", "25%")


@pytest.mark.usefixtures("several")
def test_names_of_the_fleet_are_completed_and_nothing_heavy_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, subtests: pytest.Subtests
) -> None:
    for words, names in (
        ("fleet host show we", ["web-1", "web-2"]),
        ("fleet ps ", ["db-1", "web-1", "web-2"]),
        ("fleet update web-1 w", ["web"]),
        ("fleet hold we", ["web", "web-1", "web-2"]),
        ("fleet hold web-1 we", ["web"]),
        ("fleet plan --image ngi", ["nginx:1"]),
        ("fleet schedule pause n", ["nightly"]),
        ("fleet cap rm ", ["site"]),
    ):
        with subtests.test(words=words):
            found = _patiently(words, names, tmp_path)
            assert found == (names, set())


def _patiently(words: str, names: list[str], cache: Path) -> tuple[list[str], set[str]]:
    """Press the key until the names are there: a machine under load answers within the budget at a later try."""
    for _ in range(20):
        found = _completed(words, cache)
        if found[0] == names:
            break
    return found


@pytest.mark.usefixtures("several")
def test_names_are_kept_for_their_owner_alone_and_hold_nothing_else(tmp_path: Path) -> None:
    assert _patiently("fleet host show we", ["web-1", "web-2"], tmp_path)[0]
    (kept,) = (tmp_path / "fleet").iterdir()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert kept.read_text() == '["web-1", "web-2"]'
    kept.write_text('["web-9"]')
    assert _completed("fleet host show we", tmp_path)[0] == ["web-9"]
    os.utime(kept, (1, 1))
    assert _patiently("fleet host show we", ["web-1", "web-2"], tmp_path)[0] == ["web-1", "web-2"]


def test_a_server_that_is_not_there_or_says_nothing_offers_no_name(tmp_path: Path) -> None:
    assert _completed("fleet host show we", tmp_path, FLEET_SOCKET="/nowhere") == ([], set())
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "silent"))
        silent.listen()
        assert _completed("fleet host show we", tmp_path, FLEET_SOCKET=str(tmp_path / "silent"))[0] == []


def test_whatever_goes_wrong_nothing_is_said(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A user without a home directory, a settings file that is no text: the line that is typed stays as it is."""

    def homeless(*_: object) -> list[str]:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(completing, "_kept_or_asked", homeless)
    context = click.Context(click.Command("x"))
    assert completing.hosts(context, click.Argument(["name"]), "we") == []
    assert capfd.readouterr() == ("", "")


def test_a_server_that_drips_is_waited_for_no_longer(tmp_path: Path) -> None:
    """Each byte of it comes in time, and the answer never ends."""
    with socket.socket(socket.AF_UNIX) as dripping:
        dripping.bind(str(tmp_path / "dripping"))
        dripping.listen()
        dripper = threading.Thread(target=_drip, args=(dripping,))
        dripper.start()
        assert _completed("fleet host show we", tmp_path, FLEET_SOCKET=str(tmp_path / "dripping"))[0] == []
        dripper.join(60)
    assert not dripper.is_alive()


def _drip(server: socket.socket) -> None:
    """Answer one caller with a header that does not end, until it is gone."""
    connection, _ = server.accept()
    with connection, contextlib.suppress(OSError):
        connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        while True:
            connection.sendall(b"x")
            time.sleep(0.05)
