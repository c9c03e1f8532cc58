"""What pages, lists of the API and commands that print all of them cost in a large fleet: processor time, bytes and memory.

    .venv/bin/python benchmarks/pages.py [--hosts 10000] [--containers 30] [--facts 300000] [--kinds sqlite postgresql] [--write]

A web process of its own serves each filled database, of which every host was just heard of; each page is asked for once after its
start, and then 5 times, unless it takes seconds, of which the median is told. Times are processor time, the database server's
included. The commands are processes of their own. With --kept FOLDER the filled databases stay there for the next run (the same as
those of benchmarks/metrics.py). --only TEXT asks for what has TEXT in its name. --write puts the tables into their section of
docs/benchmarks.md.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import update

from benchmarks._large_fleet import fill
from benchmarks._page import write_section
from benchmarks._web_side import WebSide, web_side
from benchmarks.history import _folder, database
from fleet.history.sql.database import Database
from fleet.history.tables.inventory import hosts

BEGIN, END = "<!-- pages: written by benchmarks/pages.py -->", "<!-- pages: end -->"
RUNS = 5
LONG_MS = 2000
"""What takes longer is asked for once."""
ASKED = (
    "/",
    "/hosts",
    "/hosts?q=host-77*",
    "/hosts?q=host-7[0-4]*",
    "/hosts/host-77",
    "/outdated",
    "/rollouts",
    "/history",
    "/mirrors",
    "/api/v1/hosts?limit=500",
    "/api/v1/hosts",
    "/api/v1/containers?limit=500",
    "/api/v1/containers",
    "/api/v1/outdated?limit=500",
    "/api/v1/outdated",
    "/api/v1/mirrors/probes",
)
COMMANDS = (
    "host ls",
    "ps",
    "ps -o csv",
    "ps -o json",
    "outdated",
    "outdated -o jsonl",
    "history ls --all -o csv",
)
TITLES = (
    "| Asked | Database | First, ms | Again, ms | Bytes | Memory at most, MiB |\n|---|---|---|---|---|---|",
    "| Command | Database | Lines | Command, s | Centre, s | Memory of the command, MiB | of the web process, MiB |\n"
    "|---|---|---|---|---|---|---|",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a command took."""

    lines: int
    s: float
    peak_mib: float


def main() -> None:
    """Fill each kind of database, and print what each page, list and command takes."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--hosts", type=int, default=10_000)
    options.add_argument("--containers", type=int, default=30)
    options.add_argument("--facts", type=int, default=300_000)
    options.add_argument("--kinds", nargs="*", default=["sqlite", "postgresql"])
    options.add_argument("--kept", type=Path, help="Keep databases in this folder.")
    options.add_argument("--only", default="", help="Ask for what has this in its name.")
    options.add_argument("--write", action="store_true", help="Put the tables into docs/benchmarks.md.")
    given = options.parse_args()
    tables: tuple[list[str], list[str]] = ([], [])
    for kind in given.kinds:
        with _folder(given.kept, f"metrics-{kind}-{given.hosts}-{given.facts}") as folder:
            if not (folder / "filled").exists():
                with database(kind, folder, quick=True) as db:
                    fill(db, given.hosts, given.containers, given.facts)
                (folder / "filled").touch()
            with database(kind, folder) as db, _served(db, folder) as web:
                _hear(db)
                for lines, found in zip(
                    tables, (_pages(kind, web, given.only), _commands(kind, web, given.only)), strict=True
                ):
                    for line in found:
                        print(line, flush=True)
                        lines.append(line)
    commit = subprocess.run(["git", "describe", "--always"], capture_output=True, text=True, check=False).stdout.strip()
    size = f"{given.hosts:,} hosts of {given.containers} containers, {given.facts:,} updates"
    report = [f"{size}; commit {commit or '?'}, {datetime.now(UTC):%Y-%m-%d}, load {os.getloadavg()[1]:.1f}."]
    for title, lines in zip(TITLES, tables, strict=True):
        report += ["", title, *lines]
    print("\n".join(report))
    if given.write:
        write_section(BEGIN, END, "\n".join(report))


def _hear(db: Database) -> None:
    """Let every host be heard of now, as in a fleet that is well."""
    with db.writing() as connection:
        connection.execute(update(hosts).values(last_seen_at=db.moment(connection)))


@contextmanager
def _served(db: Database, folder: Path) -> Iterator[WebSide]:
    url = db.engine.url.render_as_string(hide_password=False).replace("+psycopg", "")
    with web_side(db, url, folder) as web:
        yield web


def _pages(kind: str, web: WebSide, only: str) -> Iterator[str]:
    for path in ASKED:
        if only not in path:
            continue
        first = web.ask(path)
        again = [web.ask(path) for _ in range(RUNS)] if first.ms < LONG_MS else [first]
        ms = statistics.median(cost.ms for cost in again)
        peak = max(cost.peak_mib for cost in (first, *again))
        yield f"| `{path}` | {kind} | {first.ms:,.1f} | {ms:,.1f} | {first.bytes:,} | {peak:,.0f} |"


def _commands(kind: str, web: WebSide, only: str) -> Iterator[str]:
    for command in COMMANDS:
        if only not in command:
            continue
        with web.watched() as cost:
            run = _run(command.split(), web.socket)
        yield (
            f"| `fleet {command}` | {kind} | {run.lines:,} | {run.s:,.1f} | {cost.ms / 1000:,.1f} | {run.peak_mib:,.0f} |"
            f" {cost.peak_mib:,.0f} |"
        )


_LAUNCH = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stderr=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss, file=sys.stderr)
"""


def _run(words: Sequence[str], socket: Path) -> Run:
    environment = {**os.environ, "FLEET_SERVER": f"unix://{socket}"}
    with tempfile.TemporaryFile() as out:
        # By way of a small process: the kernel counts what a process had in memory before it became another program.
        command = [sys.executable, "-c", _LAUNCH, sys.executable, "-m", "fleet.cli.main", *words]
        done = subprocess.run(command, env=environment, stdout=out, stderr=subprocess.PIPE, text=True, check=True)
        out.seek(0)
        lines = sum(1 for _ in out)
    spent, peak = done.stderr.splitlines()[-1].split()
    return Run(lines=lines, s=float(spent), peak_mib=int(peak) / 1024)


if __name__ == "__main__":
    main()
