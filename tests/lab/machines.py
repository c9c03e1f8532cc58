"""One machine of the lab: namespaces of its own (network, mounts, processes, host name) around an ordinary folder.

Its first process only waits; whatever runs on the machine ends when that process ends, and it ends with this one.
"""

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from fleet.errors import FleetError
from tests.lab.place import Place

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NAMESPACES = ("--mount", "--uts", "--ipc", "--net", "--pid")
_UNTIL_READY_S = 10.0

# An engine takes its identity from /etc/docker/key.json where there is one: with that of the machine below, they were all one.
_FIRST_PROCESS = """
set -e
mount --make-rshared /
mount -t proc proc /proc
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock
mount -t overlay overlay -o lowerdir=/etc,upperdir={folder}/etc,workdir={folder}/etc.work /etc
rm -rf /etc/docker && mkdir /etc/docker
touch /etc/hosts /etc/resolv.conf
mount --bind {hosts} /etc/hosts
mount --bind {resolv} /etc/resolv.conf
mount --bind {bundle} /etc/ssl/certs/ca-certificates.crt
echo {name} > /proc/sys/kernel/hostname
trap '' CHLD
echo ready
exec sleep infinity
"""


class Running:
    """A process on a machine of the lab; its output goes to a file."""

    def __init__(self, entered: "subprocess.Popen[bytes]", log: Path) -> None:
        self._entered = entered
        self.log = log
        self.pid = _only_child(entered)
        """As this machine counts processes; 0 where it had ended at once."""

    def alive(self) -> bool:
        """Tell whether it still runs."""
        return self._entered.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Send it a signal; one that has ended does not mind. One that is told to stop has stopped then."""
        # nsenter stops itself with its child, and has to be waken first.
        targets = (self._entered.pid, self.pid) if number == signal.SIGCONT else (self.pid,)
        for pid in targets:
            if pid and self.alive():
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
        if number == signal.SIGSTOP:
            # Its threads stop one after the other, and may answer until then; nsenter stops after the last of them.
            eventually("the stop", lambda: not self.alive() or _state(self._entered.pid) == "T")

    def kill(self) -> None:
        """End it as a power cut would."""
        self.send(signal.SIGKILL)
        self.wait()

    def stop(self, patience_s: float = 20.0) -> None:
        """Ask it to end, and kill it when it does not."""
        self.send(signal.SIGTERM)
        try:
            self.wait(patience_s)
        except subprocess.TimeoutExpired:
            self.kill()

    def wait(self, timeout_s: float | None = 20.0) -> int:
        """Wait for its end and return its exit code; raise TimeoutExpired when it does not come."""
        return self._entered.wait(timeout_s)

    def tail(self, lines: int = 20) -> str:
        """Return the last lines of what it wrote."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])


class Machine:
    """Namespaces, an address on the lab's bridge, a folder, and what runs there."""

    def __init__(self, place: Place, name: str, last: int, environment: Mapping[str, str] | None = None) -> None:
        """Describe the machine; ``boot`` makes it."""
        self.place = place
        self.name = name
        self.address = place.address(last)
        self.folder = place.folder / name
        self.environment = {"PATH": PATH, "HOME": f"{self.folder}/home", "LANG": "C.UTF-8"} | dict(environment or {})
        self._cable = f"{place.cable}{last}"
        self._first: subprocess.Popen[bytes] | None = None
        self._pid = 0
        self._started: list[Running] = []

    def boot(self) -> None:
        """Make the namespaces and join the bridge. Call it in a thread that lives as long as the lab."""
        for part in ("etc", "etc.work", "home"):
            (self.folder / part).mkdir(parents=True)
        shared = {part: self.place.folder / part for part in ("hosts", "resolv", "bundle")}
        script = _FIRST_PROCESS.format(folder=self.folder, name=shlex.quote(self.name), **shared)
        unshare = ["unshare", *_NAMESPACES, "--fork", "--kill-child", "--propagation", "slave", "sh", "-c", script]
        # The kernel ends it with the thread that started it, so that a lab that is killed leaves nothing running.
        self._first = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *unshare], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        )
        assert self._first.stdout is not None
        if self._first.stdout.readline() != b"ready\n":
            raise FleetError(f"cannot start the lab's machine {self.name}; its first process says why above")
        self._pid = _only_child(self._first)
        self._join()

    def shut_down(self) -> None:
        """End the machine and all that runs on it."""
        if self._first is None:
            return
        self._first.kill()
        self._first.wait()
        for running in self._started:
            running.send(signal.SIGCONT)
            running.wait()
        if self._first.stdout is not None:
            self._first.stdout.close()
        self._first = None

    @property
    def root(self) -> Path:
        """Its file system, as seen from here: ``root / "etc/docker/daemon.json"``."""
        return Path(f"/proc/{self._pid}/root")

    def write(self, path: str, text: str) -> Path:
        """Write a file that only this machine sees; return its place as seen from here."""
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def run(
        self,
        *command: str | Path,
        environment: Mapping[str, str] | None = None,
        check: bool = True,
        timeout_s: float = 60.0,
        input: str | None = None,
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command on it to its end; raise FleetError with its output when it fails and *check* is set."""
        done = subprocess.run(
            self._entering(command),
            env=self.environment | dict(environment or {}),
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        if check and done.returncode:
            told = (done.stdout + done.stderr).strip()
            raise FleetError(f"cannot run {command[0]} on {self.name}: exit code {done.returncode}: {told}")
        return done

    def start(self, name: str, *command: str | Path, environment: Mapping[str, str] | None = None) -> Running:
        """Start a process on it; what it writes goes to NAME.log in the machine's folder."""
        log = self.folder / f"{name}.log"
        with log.open("ab") as file:
            entered = subprocess.Popen(
                self._entering(command),
                env=self.environment | dict(environment or {}),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        running = Running(entered, log)
        self._started.append(running)
        return running

    def talk(self, *command: str | Path) -> "subprocess.Popen[str]":
        """Start a process on it that reads lines and answers with lines; the caller ends it."""
        return subprocess.Popen(
            self._entering(command), env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def set_link(self, *, up: bool) -> None:
        """Plug the machine's network cable in, or pull it out."""
        subprocess.run(["ip", "link", "set", self._cable, "up" if up else "down"], check=True)

    def _join(self) -> None:
        peer = ["peer", "name", "eth0", "netns", str(self._pid)]
        subprocess.run(["ip", "link", "add", self._cable, "type", "veth", *peer], check=True)
        subprocess.run(["ip", "link", "set", self._cable, "master", self.place.bridge, "up"], check=True)
        orders = f"link set lo up\naddr add {self.address}/24 dev eth0\nlink set eth0 up\n"
        self.run("ip", "-batch", "-", input=orders)

    def _entering(self, command: Sequence[str | Path]) -> list[str]:
        return ["nsenter", "--target", str(self._pid), *_NAMESPACES, "--", *map(str, command)]


def eventually(what: str, true: Callable[[], object], *, within_s: float = 90.0, every_s: float = 0.05) -> None:
    """Wait until *true* returns something true; raise FleetError that names *what* when it does not in time."""
    ends = time.monotonic() + within_s
    while not true():
        if time.monotonic() > ends:
            raise FleetError(f"cannot go on: {what} did not happen within {within_s:g} s")
        time.sleep(every_s)


def _state(pid: int) -> str:
    """Return how the kernel calls what a process does; empty where it is gone."""
    with suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return ""


def _only_child(parent: "subprocess.Popen[bytes]") -> int:
    """Return the one child of nsenter or unshare, which fork into the namespace of processes."""
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
    ends = time.monotonic() + _UNTIL_READY_S
    while time.monotonic() < ends and parent.poll() is None:
        if found := children.read_text().split():
            return int(found[0])
        time.sleep(0.002)
    return 0
