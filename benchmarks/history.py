"""How fast the history answers and takes, as it grows: each question's first page, ingest with fsync, size per update.

    .venv/bin/python benchmarks/history.py --sizes 10000 100000 1000000 [--kinds sqlite postgresql] [--write]

Databases lie on this machine's disk; PostgreSQL is a private server with fsync on. --write puts the tables into their
section of docs/benchmarks.md.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from benchmarks._history_facts import DAYS, MIRRORS, REASONS, Fleet, Then, fill, fleet_of
from fleet.history import queries
from fleet.history.changes import chain, changes
from fleet.history.database import Database
from fleet.history.durations import compared, durations
from fleet.history.inbox import Good
from fleet.history.language_parse import parse
from fleet.history.language_times import Ago
from fleet.history.mirror_report import mirror_report
from fleet.history.outcome_pages import Cursor
from fleet.history.pages import PageRequest
from fleet.history.partitions import lowest_id
from fleet.history.stats import whole_bytes
from fleet.history.upgrade import upgrade
from fleet.history.who_runs import who_runs
from fleet.road.messages import Outcome
from tests import needs
from tests.history.conftest import Postgres
from tests.history.world import container, open_world

CALLS = 20
HOSTS, CONTAINERS, BATCH = 20, 200, 500
TURNS = 100
BEGIN, END = "<!-- history: written by benchmarks/history.py -->", "<!-- history: end -->"
PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"

Ask = Callable[[], object]


def main() -> None:
    """Fill each database to each size in turn, measure, and print the tables."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    options.add_argument("--kinds", nargs="+", choices=["sqlite", "postgresql"], default=["sqlite", "postgresql"])
    options.add_argument("--runs", type=int, default=5)
    options.add_argument("--seed", type=int, default=7)
    options.add_argument("--write", action="store_true", help="Put the tables into docs/benchmarks.md.")
    given = options.parse_args()
    measured: dict[tuple[str, int], Mapping[str, float]] = {}
    for kind in given.kinds:
        for size in sorted(given.sizes):
            with database(kind) as db:
                measured[kind, size] = measure(db, size, given.runs, given.seed)
            print(kind, size, {name: round(value, 2) for name, value in measured[kind, size].items()}, flush=True)
    report = "\n".join(tables(measured, given.runs))
    print(report)
    if given.write:
        _write(report)


def measure(db: Database, size: int, runs: int, seed: int) -> dict[str, float]:
    """Fill *db* with *size* updates; return each question's median p95 in ms, outcomes/s, and bytes an update."""
    now = datetime.now(UTC)
    fleet = fleet_of(size, now, seed)
    empty = whole_bytes(db)
    fill(db, fleet, size, seed)
    found = {"bytes an update": (whole_bytes(db) - empty) / size}
    then = replace(db, clock=Then(now))
    asked = questions(then, fleet, Random(seed))
    figures: dict[str, list[float]] = {name: [] for name in asked}
    for _ in range(runs):
        for name, ask in asked.items():
            figures[name].append(_p95(ask))
    found |= {name: statistics.median(values) for name, values in figures.items()}
    found["outcomes a second"] = ingest(db)
    found["load"] = os.getloadavg()[0]
    return found


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

    deep = Cursor(asked=fleet.now).at(lowest_id(fleet.now - timedelta(days=DAYS * 0.9)))
    return {
        "newest": query(lambda: ""),
        "newest, a page nine tenths down": query(lambda: "", deep),
        "host:": query(lambda: f"host:{host()}"),
        "image: outcome:failure": query(lambda: f"image:{image()} outcome:failure"),
        "digest:": query(lambda: f"digest:{digest()}"),
        "digest: of 12 digits": query(lambda: f"digest:{digest()[7:19]}"),
        "mirror: (a part)": query(lambda: "mirror:harbor"),
        "rollout:": query(lambda: f"rollout:{random.randrange(1, DAYS)}"),
        "by:": query(lambda: "by:anna"),
        "since:2h": query(lambda: "since:2h"),
        "since: until: a day long ago": query(lambda: f"since:{(n := random.randrange(5, DAYS))}d until:{n - 1}d"),
        "text that is common": query(lambda: '"' + random.choice(REASONS)[:20] + '"'),
        "text that is nowhere": query(lambda: "nowhere"),
        "host: -outcome: text": query(lambda: f"host:{host()} -outcome:updated cannot"),
        "who runs an image": lambda: who_runs(db, image()),
        "who runs a digest": lambda: who_runs(db, fleet.digest(image(), DAYS)),
        "what changed on a host in 30 days": lambda: changes(db, host(), Ago(seconds=30 * 86400)),
        "chain of a container": lambda: chain(db, host(), "app-3", PageRequest()),
        "mirrors by day, 14 days": lambda: mirror_report(db, fleet.now - timedelta(days=14)),
        "one mirror, 14 days, and whom": lambda: mirror_report(
            db, fleet.now - timedelta(days=14), mirror=random.choice(MIRRORS)
        ),
        "durations by phase": lambda: durations(db, parse("")),
        "mirrors and origin compared": lambda: compared(db),
    }


def ingest(db: Database) -> float:
    """Return how many outcomes of real orders the inbox takes a second, each batch waiting for the disk."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        world = open_world(db, Path(folder), stack)
        names = [f"new-{number}-{time.monotonic_ns()}" for number in range(HOSTS)]
        for name in names:
            world.add_host(name, *(container(f"c-{number}") for number in range(CONTAINERS)))
        world.rollout(*names)
        waiting: list[Good] = []
        for _ in range(TURNS):
            for sent in world.tick():
                agent = world.agents[sent.host_id]
                for up in agent.hear(sent.message):
                    if isinstance(up, Outcome):
                        waiting.append(world.good(agent, up))
                    else:
                        world.take(agent, up)
            if len(waiting) >= HOSTS * CONTAINERS:
                break
        if len(waiting) != HOSTS * CONTAINERS:
            raise RuntimeError(f"only {len(waiting)} outcomes came")
        began = time.perf_counter()
        for start in range(0, len(waiting), BATCH):
            world.take_all(waiting[start : start + BATCH])
        return len(waiting) / (time.perf_counter() - began)


def _p95(ask: Ask) -> float:
    ask()
    times = []
    for _ in range(CALLS):
        began = time.perf_counter()
        ask()
        times.append((time.perf_counter() - began) * 1000)
    return sorted(times)[int(0.95 * CALLS) - 1]


@contextmanager
def database(kind: str) -> Iterator[Database]:
    """Give a new database on the disk."""
    folder = Path(tempfile.mkdtemp(prefix="fh", dir="/var/tmp"))
    folder.chmod(0o755)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        if kind == "sqlite":
            url = f"sqlite:///{folder / 'fleet.db'}"
        else:
            server = Durable(needs.postgresql(), folder)
            stack.callback(server.stop)
            server.create("big", "template0")
            url = server.url("big")
        upgrade(url)
        yield stack.enter_context(closing(Database.open(url)))


class Durable(Postgres):
    """A private server that waits for the disk."""

    def start(self) -> None:
        """Start it with fsync on."""
        self._options = f"-c listen_addresses= -k {self.directory} -c shared_buffers=512MB -c max_wal_size=4GB"
        super().start()


def tables(measured: Mapping[tuple[str, int], Mapping[str, float]], runs: int) -> Iterator[str]:
    """Yield the lines of the tables: a column a database and size, a row a question."""
    sides = list(measured)
    commit = subprocess.run(["git", "describe", "--always"], capture_output=True, text=True, check=False).stdout.strip()
    yield f"Commit {commit or '?'}, {datetime.now(UTC):%Y-%m-%d}. First page, p95 of {CALLS} calls in milliseconds, median of {runs} runs."
    yield ""
    yield "| Question | " + " | ".join(f"{kind} {size:,}" for kind, size in sides) + " |"
    yield "|---|" + "---|" * len(sides)
    last = ("outcomes a second", "bytes an update", "load")
    for name in [name for name in measured[sides[0]] if name not in last] + list(last):
        yield f"| {name} | " + " | ".join(_figure(measured[side][name]) for side in sides) + " |"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _write(report: str) -> None:
    text = PAGE.read_text()
    if BEGIN not in text:
        raise SystemExit(f"cannot write: {PAGE} has no section that begins with {BEGIN}")
    before, _, rest = text.partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{report}\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
