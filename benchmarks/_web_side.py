"""The web process of a filled database, asked at its socket: how much processor time and memory an answer takes."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

from fleet.history.sql.database import Database

STARTS_WITHIN_S = 60.0
ANSWERS_WITHIN_S = 600.0


@dataclass(slots=True, kw_only=True)
class Cost:
    """What an answer took, or several."""

    ms: float = 0.0
    """Processor time of the web process and of the database's server."""
    bytes: int = 0
    peak_mib: float = 0.0
    """The most memory that the web process had meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSide:
    """One web process, and how to ask it."""

    pid: int
    socket: Path
    http: httpx2.Client
    servers: Path | None
    """The folder of PostgreSQL's cluster, whose processes answer for it; None: the web process reads the file itself."""

    def ask(self, path: str) -> Cost:
        """Ask for *path*; return what it took."""
        with self.watched() as cost:
            answer = self.http.get(path)
        answer.raise_for_status()
        cost.bytes = len(answer.content)
        return cost

    @contextmanager
    def watched(self) -> Iterator[Cost]:
        """Watch what the process and its database take meanwhile."""
        _forget_peak(self.pid)
        spent, cost = self._spent(), Cost()
        yield cost
        cost.ms = (self._spent() - spent) * 1000
        cost.peak_mib = self._peak_mib()

    def _peak_mib(self) -> float:
        rows = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(row.split()[1]) for row in rows if row.startswith("VmHWM:")) / 1024

    def _spent(self) -> float:
        mine = _processor_s(self.pid)
        if self.servers is None:
            return mine
        postmaster = int((self.servers / "postmaster.pid").read_text().split()[0])
        children = map(int, Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split())
        return mine + sum(map(_processor_s, children)) + _ended_s(postmaster)


@contextmanager
def web_side(db: Database, url: str, folder: Path) -> Iterator[WebSide]:
    """Give a web process over *db*, which is at *url*; its own things go to *folder*."""
    socket = folder / "web.sock"
    environment = {
        **os.environ,
        "FLEET_DATABASE_URL": url,
        "FLEET_STATE_DIR": str(folder / "state"),
        "FLEET_SOCKET": str(socket),
        "FLEET_BROKER_URL": f"unix://{folder}/none.sock",
        "FLEET_LOG_LEVEL": "WARNING",
    }
    (folder / "state").mkdir(exist_ok=True)
    process = subprocess.Popen([sys.executable, "-m", "fleet.cli.main", "controller", "--only", "web"], env=environment)
    try:
        transport = httpx2.HTTPTransport(uds=str(socket))
        headers = {"Accept": "text/html, application/json"}
        with httpx2.Client(
            transport=transport, base_url="http://fleet", timeout=ANSWERS_WITHIN_S, headers=headers
        ) as http:
            _wait(http)
            servers = folder / "cluster" if db.dialect == "postgresql" else None
            yield WebSide(pid=process.pid, socket=socket, http=http, servers=servers)
    finally:
        process.terminate()
        process.wait()


def _wait(http: httpx2.Client) -> None:
    until = time.monotonic() + STARTS_WITHIN_S
    while time.monotonic() < until:
        try:
            if http.get("/healthz").is_success:
                return
        except httpx2.TransportError:
            time.sleep(0.1)
    raise TimeoutError("the web process does not answer")


def _forget_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def _processor_s(pid: int) -> float:
    """Return the processor seconds of a process, with those of its threads that have ended."""
    try:
        return time.clock_gettime(~pid << 3 | 2)  # as clock_getcpuclockid makes the name of its clock
    except OSError:
        return 0.0  # it has ended meanwhile


def _ended_s(pid: int) -> float:
    """Return the processor seconds of children that have ended, as PostgreSQL's parallel workers do."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")
