"""On a real terminal: tables fit, colours come and go, the watch draws, and Ctrl-C leaves the rollout alone."""

import contextlib
import errno
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fleet.history.registries import tags
from tests.cli.conftest import Fleet
from tests.controller.centre import NEW, Centre, ScriptedHost, nginx
from tests.web.test_routes import IMAGE, carry_out

pytestmark = [pytest.mark.redis, pytest.mark.usefixtures("served")]

CSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
LONG = "ghcr.io/example-organisation/reverse-proxy-with-a-long-name:2026.11"


class Screen:
    """A command on a pseudo terminal of a given width."""

    def __init__(self, columns: int, args: tuple[str, ...], **environment: str) -> None:
        self.seen = ""
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "fleet.cli.main", *args],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**kept, "TERM": "xterm-256color", **environment},
        )
        os.close(slave)

    def until(self, holds: Callable[[str], bool], seconds: float = 60) -> str:
        """Read until *holds* of what was seen, or the command ended."""
        deadline = time.monotonic() + seconds
        while not holds(self.seen) and time.monotonic() < deadline:
            ready, _, _ = select.select([self._master], [], [], 0.1)
            if not ready:
                continue
            try:
                data = os.read(self._master, 65536)
            except OSError as e:
                if e.errno != errno.EIO:
                    raise
                break
            if not data:
                break
            self.seen += data.decode()
        return self.seen

    def end(self) -> int:
        """Read to the end; return the exit code."""
        self.until(lambda _: False)
        code = self.process.wait(60)
        with contextlib.suppress(OSError):
            os.close(self._master)
        return code


@pytest.fixture
def outdated(centre: Centre) -> ScriptedHost:
    """A host with an outdated container, and one of a long name."""
    host = centre.add_host("web-1")
    host.snapshot(nginx(), nginx("proxy", reference=LONG))
    centre.turn()
    tags.record_resolved(centre.db, IMAGE, NEW, "https://registry-1.docker.io")
    return host


@pytest.mark.parametrize("columns", [80, 120])
def test_no_line_is_wider_than_the_terminal(outdated: ScriptedHost, columns: int) -> None:
    screen = Screen(columns, ("ps",))
    assert screen.end() == 0
    lines = CSI.sub("", screen.seen).splitlines()
    assert max(map(len, lines)) <= columns
    assert all("running" in line for line in lines[1:] if line)
    assert "2026.11" in screen.seen


def test_a_terminal_gets_colours_and_no_color_takes_them(outdated: ScriptedHost) -> None:
    screen = Screen(80, ("outdated",))
    screen.end()
    assert "\x1b[33moutdated" in screen.seen
    for args, environment in ((("outdated", "--no-color"), {}), (("outdated",), {"NO_COLOR": "1"})):
        plain = Screen(80, args, **environment)
        plain.end()
        assert "\x1b[3" not in plain.seen


def test_the_watch_draws_and_ends_with_what_came_of_it(
    fleet: Fleet, centre: Centre, outdated: ScriptedHost, tmp_path: Path
) -> None:
    screen = Screen(80, ("update", "web-1", "web", "--no-check"))
    screen.until(lambda seen: "pending" in seen)
    carry_out(centre, outdated)
    assert screen.end() == 0
    assert "✔ web-1" in screen.seen or "● web-1" in screen.seen or "○ web-1" in screen.seen
    assert CSI.sub("", screen.seen).splitlines()[-1].endswith("completed")


def test_ctrl_c_detaches_and_the_rollout_goes_on(fleet: Fleet, centre: Centre, outdated: ScriptedHost) -> None:
    screen = Screen(80, ("update", "web-1", "--no-check"))
    screen.until(lambda seen: "pending" in seen)
    screen.process.send_signal(signal.SIGINT)
    assert screen.end() == 130
    assert "goes on; stop it with: fleet rollout abort" in screen.seen
    assert "Traceback" not in screen.seen
    carry_out(centre, outdated)
    assert "completed" in fleet("rollout", "ls").out


def test_removing_a_host_wants_its_name(fleet: Fleet, outdated: ScriptedHost) -> None:
    screen = Screen(80, ("host", "rm", "web-1"))
    screen.until(lambda seen: "Type web-1" in seen)
    os.write(screen._master, b"web-2\n")
    assert screen.end() == 6
    assert fleet("host", "show", "web-1").code == 0


def test_no_input_never_asks(outdated: ScriptedHost) -> None:
    screen = Screen(80, ("host", "rm", "web-1", "--no-input"))
    assert screen.end() == 6
    assert "--yes" in screen.seen


@pytest.mark.parametrize(("typed", "code"), [(b"y\n", 0), (b"n\n", 6), (b"\n", 6)])
def test_what_cannot_be_brought_back_is_asked_for(
    fleet: Fleet, outdated: ScriptedHost, typed: bytes, code: int
) -> None:
    fleet("token", "create", "ci")
    screen = Screen(80, ("token", "revoke", "ci"))
    screen.until(lambda seen: "Revoke the token ci? [y/N]" in seen)
    os.write(screen._master, typed)
    assert screen.end() == code
    assert ("revoked" in fleet("token", "ls").out) is (code == 0)


def test_what_is_confirmed_beforehand_or_may_not_be_asked_is_not_asked(fleet: Fleet, outdated: ScriptedHost) -> None:
    fleet("schedule", "create", "nightly", "--cron", "0 3 * * *")
    refused = Screen(80, ("schedule", "rm", "nightly", "--no-input"))
    assert (refused.end(), "add --yes" in refused.seen) == (6, True)
    done = Screen(80, ("schedule", "rm", "nightly", "-y"))
    assert (done.end(), "?" in done.seen) == (0, False)
    fleet("schedule", "create", "nightly", "--cron", "0 3 * * *")
    assert fleet("schedule", "rm", "nightly").code == 0, "a script is taken at its word"
