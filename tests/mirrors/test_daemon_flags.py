"""What a daemon was started with is read from its process, and only from its own."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from fleet.mirrors.daemon_flags import PROC, DaemonFlags, FlagFinder, find_flags, parse_flags
from fleet.testing.clock import ManualClock

LINE = ("/usr/bin/dockerd", "-H", "fd://", "--containerd=/run/containerd/containerd.sock")


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (("dockerd",), DaemonFlags()),
        (LINE, DaemonFlags(sockets=("fd://",))),
        (("dockerd", "--registry-mirror", "https://a.lan"), DaemonFlags(mirrors=("https://a.lan",))),
        (
            ("dockerd", "--registry-mirror=https://a.lan", "--registry-mirror=https://b.lan"),
            DaemonFlags(mirrors=("https://a.lan", "https://b.lan")),
        ),
        (("dockerd", "--insecure-registry=10.0.0.0/8"), DaemonFlags(insecure=("10.0.0.0/8",))),
        (("dockerd", "--config-file", "/etc/d.json", "--debug"), DaemonFlags(config_file="/etc/d.json")),
        (
            ("dockerd", "-Hunix:///a.sock", "-H=tcp://0:1", "--host=unix:///b.sock"),
            DaemonFlags(sockets=("unix:///a.sock", "tcp://0:1", "unix:///b.sock")),
        ),
        (("dockerd", "--registry-mirror"), DaemonFlags(mirrors=("",))),
    ],
)
def test_the_command_line_of_a_daemon(arguments: Sequence[str], found: DaemonFlags) -> None:
    assert parse_flags(arguments) == found


def process(proc: Path, number: int, *arguments: str, name: str = "dockerd") -> None:
    """Let a process run in the folder *proc*."""
    place = proc / str(number)
    place.mkdir(parents=True)
    (place / "comm").write_text(f"{name}\n")
    (place / "cmdline").write_bytes("".join(f"{argument}\0" for argument in arguments).encode())


def test_the_daemon_of_the_asked_engine_is_found_among_others(tmp_path: Path) -> None:
    process(tmp_path, 1, "sh", name="sh")
    process(tmp_path, 2, "dockerd", "-H", "unix:///run/other.sock", "--registry-mirror=https://other.lan")
    process(tmp_path, 3, "dockerd", "-H", "unix:///var/run/mine.sock", "--registry-mirror=https://mine.lan")
    found = find_flags("unix:///run/mine.sock", proc=tmp_path)
    assert found is not None
    assert found.mirrors == ("https://mine.lan",)
    assert find_flags("unix:///run/third.sock", proc=tmp_path) is None
    assert find_flags("tcp://10.0.0.1:2376", proc=tmp_path) is None
    assert find_flags(None, proc=tmp_path) is None, "none of them listens at the usual socket"


def test_the_usual_socket_is_the_daemons_that_names_none(tmp_path: Path) -> None:
    usual = "unix:///var/run/docker.sock" if os.getuid() == 0 else f"unix:///run/user/{os.getuid()}/docker.sock"
    process(tmp_path, 7, *LINE, "--registry-mirror=https://a.lan")
    found = find_flags(usual, proc=tmp_path)
    assert found is not None
    assert found.mirrors == ("https://a.lan",)


def test_where_two_daemons_would_fit_none_is_believed(tmp_path: Path) -> None:
    for number in (1, 2):
        process(tmp_path, number, "dockerd", "-H", "unix:///a.sock")
    assert find_flags("unix:///a.sock", proc=tmp_path) is None


def test_what_was_found_is_kept_for_a_minute(tmp_path: Path) -> None:
    clock = ManualClock()
    finder = FlagFinder("unix:///a.sock", clock=clock, proc=tmp_path)
    assert finder() is None
    process(tmp_path, 1, "dockerd", "-H", "unix:///a.sock", "--registry-mirror=https://a.lan")
    assert finder() is None
    clock.advance(61)
    found = finder()
    assert found is not None
    assert found.mirrors == ("https://a.lan",)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[str]:
    """Start a process that is called dockerd, as the kernel sees it."""
    program = tmp_path / "dockerd"
    program.symlink_to(sys.executable)
    url = f"unix://{tmp_path}/docker.sock"
    ours, theirs = socket.socketpair()
    waits = (
        "import socket; open('/proc/self/comm', 'w').write('dockerd');"
        f" s = socket.socket(fileno={theirs.fileno()}); s.send(b'x'); s.recv(1)"
    )
    arguments = [str(program), "-c", waits, "-H", url, "--registry-mirror=https://a.lan"]
    with subprocess.Popen(arguments, pass_fds=[theirs.fileno()]) as running, ours:
        theirs.close()
        assert ours.recv(1) == b"x"
        yield url
        ours.send(b"x")
        running.wait(60)


@pytest.mark.skipif(not PROC.is_dir(), reason="this system has no /proc")
def test_a_real_process_is_seen(daemon: str) -> None:
    found = find_flags(daemon)
    assert found is not None
    assert found.mirrors == ("https://a.lan",)
