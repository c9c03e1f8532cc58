"""What keeps running, and how it ends."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fleet.clock import Clock
from fleet.controller import supervisor
from fleet.controller.supervisor import Child, Supervisor
from fleet.errors import BadInput, BrokerUnreachable
from fleet.settings.centre import CentreSettings
from tests.controller.processes import alive, wait_until

SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)",
]


class Puppet:
    """Something kept that lives and dies as told."""

    def __init__(self, *failures: Exception) -> None:
        self.pid = 0
        self.starts = 0
        self.failures = list(failures)

    def start(self) -> None:
        """Live, unless told to fail."""
        self.starts += 1
        if self.failures:
            raise self.failures.pop(0)
        self.pid = 1

    def stop(self) -> None:
        """Die."""
        self.pid = 0


def looks(kept: Puppet, clock: Clock, seconds: float, *, dies: bool = False) -> int:
    """Look every half second for *seconds*, and return how often it was started meanwhile."""
    watched = Supervisor({"it": kept}, clock=clock)
    watched.look()
    before = kept.starts
    for _ in range(int(seconds * 2)):
        clock.sleep(0.5)
        if dies:
            kept.pid = 0
        watched.look()
    return kept.starts - before


def test_what_runs_is_let_alone(clock: Clock) -> None:
    assert looks(Puppet(), clock, 60) == 0


def test_what_always_dies_is_started_ever_more_rarely(clock: Clock) -> None:
    assert 7 <= looks(Puppet(), clock, 120, dies=True) <= 12


def test_what_recovered_is_started_again_quickly(clock: Clock) -> None:
    kept = Puppet()
    watched = Supervisor({"it": kept}, clock=clock)
    for _ in range(5):
        watched.look()
        clock.sleep(supervisor.STEADY_S)
        kept.pid = 0
        watched.look()
        starts = kept.starts
        clock.sleep(supervisor.FIRST_WAIT_S)
        watched.look()
        assert kept.starts == starts + 1


def test_what_cannot_start_is_tried_again(clock: Clock) -> None:
    kept = Puppet(BrokerUnreachable(), BrokerUnreachable())
    assert looks(kept, clock, 5) == 2
    assert kept.pid == 1


def test_a_full_disk_ends_nothing_that_still_runs(clock: Clock) -> None:
    """The broker and the local agent write files before they start."""
    full = OSError(errno.ENOSPC, "No space left on device")
    kept = Puppet(full, full)
    assert looks(kept, clock, 5) == 2
    assert kept.pid == 1


def test_what_goes_on_failing_is_told_once(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """At a start everything waits for something else; only a wait that lasts is worth a line."""
    looks(Puppet(*[BrokerUnreachable()] * 5), clock, 10)
    assert not [row for row in caplog.records if row.message == "cannot start yet"]
    looks(Puppet(*[BrokerUnreachable()] * 40), clock, 30)
    assert len([row for row in caplog.records if row.message == "cannot start yet"]) == 1


def test_one_that_cannot_start_holds_up_no_other(clock: Clock) -> None:
    bad, good = Puppet(BrokerUnreachable()), Puppet()
    Supervisor({"bad": bad, "good": good}, clock=clock).look()
    assert (bad.pid, good.pid) == (0, 1)


def test_a_child_that_was_killed_is_started_again() -> None:
    kept = Child(SLEEPER)
    watched = Supervisor({"it": kept})
    watched.look()
    first = kept.pid
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: not kept.pid)
    watched.look()
    time.sleep(supervisor.FIRST_WAIT_S)
    watched.look()
    assert kept.pid not in (0, first)
    watched.stop()
    assert not kept.pid


def test_a_child_that_will_not_end_is_killed() -> None:
    kept = Child(STUBBORN)
    kept.start()
    pid = kept.pid
    time.sleep(0.3)
    kept.stop(patience_s=0.2)
    assert not alive(pid)


def test_sigterm_ends_everything(tmp_path: Path) -> None:
    parent, children = family(tmp_path)
    parent.terminate()
    assert parent.wait(60) == 0
    assert not [pid for pid in children if alive(pid)]


def test_children_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    parent, children = family(tmp_path)
    parent.kill()
    parent.wait(60)
    wait_until(lambda: not [pid for pid in children if alive(pid)])


@pytest.mark.parametrize("only", [("wep",), ("web", "inbx")])
def test_an_unknown_process_is_refused_with_those_there_are(only: tuple[str, ...], tmp_path: Path) -> None:
    settings = CentreSettings.read(state_dir=tmp_path, broker={"url": "redis://127.0.0.1:1/0"})
    with pytest.raises(BadInput, match=r"^cannot start '.*': .* web, planner, inbox, notifier, beat"):
        supervisor.run(settings, only)


def test_without_a_broker_nothing_is_started(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"^cannot go on without a broker"):
        supervisor.run(CentreSettings.read(state_dir=tmp_path))


PARENT = """
import sys
from fleet.controller.supervisor import Child, Supervisor
sleeper = [sys.executable, "-c", "import os, sys, time; print(os.getpid(), flush=True); time.sleep(60)"]
Supervisor({"a": Child(sleeper), "b": Child(sleeper)}).run()
"""


def family(tmp_path: Path) -> tuple[subprocess.Popen[bytes], list[int]]:
    """Start a supervisor with two children; return it and their process ids."""
    out = tmp_path / "out"
    with out.open("wb") as file:
        parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=file)
    wait_until(lambda: len(out.read_text().split()) == 2)
    return parent, [int(pid) for pid in out.read_text().split()]
