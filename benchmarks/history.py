"""How fast the history answers and takes, as it grows: each question's first page, ingest with fsync, size per update.

    .venv/bin/python benchmarks/history.py [--sqlite 10000 100000 2000000] [--postgresql 10000 100000 10000000] [--write]

Databases lie on this machine's disk; PostgreSQL is a private server with fsync on. With --kept FOLDER they stay there, and
what was filled or measured there before is not done again: a long run may be made in parts (--fill only fills). --write puts
the tables into their section of docs/benchmarks.md.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import cycle
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

from benchmarks._history_facts import DAYS, MIRRORS, REASONS, Fleet, Then, fill, fleet_of
from benchmarks._page import write_section
from fleet.history.inbox.taking import Good
from fleet.history.questions import queries
from fleet.history.questions.changes import chain, changes
from fleet.history.questions.durations import compared, durations
from fleet.history.questions.language_parse import parse
from fleet.history.questions.language_times import Ago
from fleet.history.questions.mirror_report import mirror_report
from fleet.history.questions.outcome_pages import Cursor
from fleet.history.questions.outcome_queries import outcome
from fleet.history.questions.who_runs import who_runs
from fleet.history.sql.database import Database
from fleet.history.sql.pages import PageRequest
from fleet.history.tables.partitions import lowest_id
from fleet.history.upkeep.stats import whole_bytes
from fleet.history.upkeep.upgrade import upgrade
from fleet.road.messages import Outcome
from tests import needs
from tests.history.conftest import Postgres
from tests.history.world import container, open_world

CALLS = 20
HOSTS, CONTAINERS, BATCH = 25, 200, 500
TURNS = 100
SEED = 7
INGEST, SIZE, LOAD = "outcomes a second", "bytes an update", "load"
BEGIN, END = "<!-- history: written by benchmarks/history.py -->", "<!-- history: end -->"

Ask = Callable[[], object]


def main() -> None:
    """Fill each database to each size in turn, measure, and print the tables."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--sqlite", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    options.add_argument("--postgresql", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    options.add_argument("--runs", type=int, default=5)
    options.add_argument("--kept", type=Path, help="Keep databases and figures in this folder.")
    options.add_argument("--fill", action="store_true", help="Fill alone; with --kept.")
    options.add_argument("--write", action="store_true", help="Put the tables into docs/benchmarks.md.")
    given = options.parse_args()
    measured: dict[tuple[str, int], Mapping[str, Any]] = {}
    for kind, sizes in (("sqlite", given.sqlite), ("postgresql", given.postgresql)):
        for size in sorted(sizes):
            with _folder(given.kept, f"{kind}-{size}") as folder:
                filled(kind, folder, size)
                if given.fill:
                    continue
                measured[kind, size] = measured_in(kind, folder, size, given.runs)
            print(kind, size, measured[kind, size], flush=True)
    if measured:
        report = "\n".join(tables(measured, given.runs))
        print(report)
        if given.write:
            write_section(BEGIN, END, report)


@contextmanager
def _folder(kept: Path | None, name: str) -> Iterator[Path]:
    """Give the folder of one database: a kept one, or one that goes afterwards."""
    folder = kept / name if kept else Path(tempfile.mkdtemp(prefix="fh", dir="/var/tmp"))
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        if not kept:
            shutil.rmtree(folder)


def filled(kind: str, folder: Path, size: int) -> dict[str, Any]:
    """Fill the database in *folder* where it is not filled yet; return when that was, and how large it became."""
    note = folder / "filled.json"
    if not note.exists():
        for broken_off in folder.iterdir():
            shutil.rmtree(broken_off) if broken_off.is_dir() else broken_off.unlink()
        now, began = datetime.now(UTC), time.monotonic()
        with database(kind, folder, quick=True) as db:
            empty = whole_bytes(db)
            fill(db, fleet_of(size, now, SEED), size, SEED)
            known = {"now": now.isoformat(), SIZE: (whole_bytes(db) - empty) / size}
        known["seconds"] = time.monotonic() - began
        note.write_text(json.dumps(known))
        print("filled", kind, size, known, flush=True)
    found: dict[str, Any] = json.loads(note.read_text())
    return found


def measured_in(kind: str, folder: Path, size: int, runs: int) -> dict[str, Any]:
    """Return the figures of the database in *folder*, measured now where they were not before."""
    note = folder / "measured.json"
    if not note.exists():
        known = filled(kind, folder, size)
        with database(kind, folder) as db:
            note.write_text(
                json.dumps({SIZE: known[SIZE], **measure(db, size, datetime.fromisoformat(known["now"]), runs)})
            )
    found: dict[str, Any] = json.loads(note.read_text())
    return found


def measure(db: Database, size: int, now: datetime, runs: int) -> dict[str, Any]:
    """Return the medians of all runs: each question's p95 and processor time in ms, outcomes a second."""
    fleet = fleet_of(size, now, SEED)
    asked = questions(replace(db, clock=Then(now)), fleet, Random(SEED))
    figures: dict[str, list[Sequence[float]]] = {name: [] for name in asked}
    loads = []
    for _ in range(runs):
        loads.append(os.getloadavg()[0])
        for name, ask in asked.items():
            figures[name].append(_timed(db, ask))
    found: dict[str, Any] = {name: _medians(values) for name, values in figures.items()}
    taken = [ingest(db) for _ in range(runs)]
    loads.append(os.getloadavg()[0])
    return found | {INGEST: _medians(taken), LOAD: [min(loads), max(loads)]}


def _medians(values: Sequence[Sequence[float]]) -> list[float]:
    return [statistics.median(each) for each in zip(*values, strict=True)]


def questions(db: Database, fleet: Fleet, random: Random) -> dict[str, Ask]:
    """Return every question, asked about another thing each time."""

    def query(text: Callable[[], str], cursor: str = "") -> Ask:
        return lambda: queries.outcomes(db, parse(text()), PageRequest(limit=50, cursor=cursor))

    def host() -> str:
        return f"host-{random.randrange(len(fleet.hosts))}"

    def image() -> str:
        return random.choice(fleet.images[:20])

    def digest() -> str:
        return fleet.digest(image(), random.randrange(DAYS))

    def some_outcome() -> UUID:
        at = fleet.now - timedelta(days=random.uniform(1, DAYS - 1))
        page = PageRequest(limit=1, cursor=Cursor(asked=fleet.now).at(lowest_id(at)))
        return queries.outcomes(db, parse(""), page).items[0].id

    ends = cycle([some_outcome().hex[-8:] for _ in range(200)])
    deep = Cursor(asked=fleet.now).at(lowest_id(fleet.now - timedelta(days=DAYS * 0.9)))

    def and_deep(name: str, text: Callable[[], str]) -> dict[str, Ask]:
        return {name: query(text), f"{name}, a page nine tenths down": query(text, deep)}

    return {
        **and_deep("newest", lambda: ""),
        **and_deep("host:", lambda: f"host:{host()}"),
        **and_deep("image: outcome:failure", lambda: f"image:{image()} outcome:failure"),
        "digest:": query(lambda: f"digest:{digest()}"),
        "digest: of 12 digits": query(lambda: f"digest:{digest()[7:19]}"),
        **and_deep("mirror: (a part)", lambda: "mirror:harbor"),
        "rollout:": query(lambda: f"rollout:{random.randrange(1, DAYS)}"),
        **and_deep("by:", lambda: "by:anna"),
        "since:2h": query(lambda: "since:2h"),
        "since: until: a day long ago": query(lambda: f"since:{(n := random.randrange(5, DAYS))}d until:{n - 1}d"),
        **and_deep("text that is common", lambda: '"' + random.choice(REASONS)[:20] + '"'),
        "text that is nowhere": query(lambda: "nowhere"),
        **and_deep("host: -outcome: text", lambda: f"host:{host()} -outcome:updated cannot"),
        "who runs an image": lambda: who_runs(db, image()),
        "who runs a digest": lambda: who_runs(db, fleet.digest(image(), DAYS)),
        "what changed on a host in 30 days": lambda: changes(db, host(), Ago(seconds=30 * 86400)),
        "one outcome by the end of its id": lambda: outcome(db, next(ends)),
        "chain of a container": lambda: chain(db, host(), "app-3", PageRequest()),
        "mirrors by day, 14 days": lambda: mirror_report(db, fleet.now - timedelta(days=14)),
        "one mirror, 14 days, and whom": lambda: mirror_report(
            db, fleet.now - timedelta(days=14), mirror=random.choice(MIRRORS)
        ),
        "durations by phase": lambda: durations(db, parse("")),
        "mirrors and origin compared": lambda: compared(db),
    }


def ingest(db: Database) -> tuple[float, float]:
    """Return how many outcomes of real orders the inbox takes a second, and a second of processor time.

    Each batch waits for the disk.
    """
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        world = open_world(db, Path(folder), stack)
        names = [f"new-{number}-{time.monotonic_ns()}" for number in range(HOSTS)]
        for name in names:
            world.add_host(name, *(container(f"c-{number}") for number in range(CONTAINERS)))
        world.rollout(*names)
        waiting: list[Good] = []
        for _ in range(TURNS):
            for sent in world.tick():
                if (agent := world.agents.get(sent.host_id)) is None:
                    continue  # of an earlier run, whose receipts are still to come
                for up in agent.hear(sent.message):
                    if isinstance(up, Outcome):
                        waiting.append(world.good(agent, up))
                    else:
                        world.take(agent, up)
            if len(waiting) >= HOSTS * CONTAINERS:
                break
        if len(waiting) != HOSTS * CONTAINERS:
            raise RuntimeError(f"only {len(waiting)} outcomes came")
        began, spent = time.perf_counter(), _spent(db)
        for start in range(0, len(waiting), BATCH):
            world.take_all(waiting[start : start + BATCH])
        return len(waiting) / (time.perf_counter() - began), len(waiting) / (_spent(db) - spent)


def _timed(db: Database, ask: Ask) -> tuple[float, float]:
    """Return the p95 of *ask* and its processor time, both in milliseconds a call."""
    ask()
    times = []
    spent = _spent(db)
    for _ in range(CALLS):
        began = time.perf_counter()
        ask()
        times.append((time.perf_counter() - began) * 1000)
    return sorted(times)[int(0.95 * CALLS) - 1], (_spent(db) - spent) * 1000 / CALLS


def _spent(db: Database) -> float:
    """Return the seconds of processor time that this process and its connection's server process have taken."""
    mine = time.process_time()
    if db.dialect == "sqlite":
        return mine
    with db.reading() as connection:
        pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
    return mine + int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


@contextmanager
def database(kind: str, folder: Path, *, quick: bool = False) -> Iterator[Database]:
    """Give the database in *folder*, new where there was none; a *quick* one is made for filling."""
    with ExitStack() as stack:
        if kind == "sqlite":
            url = f"sqlite:///{folder / 'fleet.db'}"
        else:
            server = Durable(needs.postgresql(), folder, quick=quick)
            stack.callback(server.stop)
            url = server.url("big")
        upgrade(url)
        yield stack.enter_context(closing(Database.open(url)))


class Durable(Postgres):
    """A private server that waits for the disk, in a folder that may have been one before."""

    def __init__(self, bin_dir: Path, directory: Path, *, quick: bool) -> None:
        """Start it; where nothing is measured, a *quick* one does without the log and waits for the disk at the end alone."""
        self.quick = quick
        if (directory / "cluster").exists():
            self.again(bin_dir, directory)
        else:
            super().__init__(bin_dir, directory)
            self.create("big", "template0")

    def start(self) -> None:
        """Start it with fsync on."""
        self._options = f"-c listen_addresses= -k {self.directory} -c shared_buffers=512MB -c max_wal_size=4GB"
        if self.quick:
            self._options += " -c wal_level=minimal -c max_wal_senders=0 -c autovacuum=off -c fsync=off"
        super().start()

    def stop(self) -> None:
        """Stop it in order, so that it starts again at once."""
        self._run("pg_ctl", "-D", str(self._cluster), "-w", "-t", "600", "-m", "fast", "stop")
        if self.quick:
            os.sync()


def tables(measured: Mapping[tuple[str, int], Mapping[str, Any]], runs: int) -> Iterator[str]:
    """Yield the lines of the tables: a column a database and size, a row a question."""
    sides = list(measured)
    commit = subprocess.run(["git", "describe", "--always"], capture_output=True, text=True, check=False).stdout.strip()
    yield (
        f"Commit {commit or '?'}, {datetime.now(UTC):%Y-%m-%d}. First page: p95 of {CALLS} calls in milliseconds, and in brackets the"
        f" processor time of one, the server's included; medians of {runs} runs."
    )
    yield ""
    yield "| Question | " + " | ".join(f"{kind} {size:,}" for kind, size in sides) + " |"
    yield "|---|" + "---|" * len(sides)
    last = (INGEST, SIZE, LOAD)
    for name in [name for name in measured[sides[0]] if name not in last]:
        yield f"| {name} | " + " | ".join(_pair(measured[side][name]) for side in sides) + " |"
    yield (
        f"| {INGEST} (in brackets: of processor time) | " + " | ".join(_pair(measured[s][INGEST]) for s in sides) + " |"
    )
    yield f"| {SIZE} | " + " | ".join(f"{measured[side][SIZE]:,.0f}" for side in sides) + " |"
    yield f"| {LOAD}, least to most | " + " | ".join("{:.1f}-{:.1f}".format(*measured[s][LOAD]) for s in sides) + " |"


def _pair(values: Sequence[float]) -> str:
    return f"{_figure(values[0])} ({_figure(values[1])})"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


if __name__ == "__main__":
    main()
