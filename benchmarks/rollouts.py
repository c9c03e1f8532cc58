"""How rollouts scale: plan, gate, dispatch, claim and report, an idle tick; and 2,000 simulated agents over a real Redis.

    .venv/bin/python benchmarks/rollouts.py --sizes 1000 10000 100000 [--kinds sqlite postgresql] [--agents 2000] [--write]

Databases lie on this machine's disk; PostgreSQL is a private server with fsync on. Every figure is the median of --runs,
with the machine's load beside it. --write puts the tables into their section of docs/benchmarks.md.

What is measured is what the product does: the inbox takes batches, the planner sends batches, each with its transactions, and
hosts tell of their lives, as agents do. Processor time is that of this process and, on PostgreSQL, of all of the server's: the
inbox has a connection of its own. What signatures take is measured on the very messages of some hosts. What statements and
commits take is the processor time within the driver's calls and, on PostgreSQL, the server's; the rest, but for the signatures,
is Python: messages, rows and decisions made of each other.
"""

import argparse
import os
import statistics
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from uuid import UUID

from benchmarks._page import write_section
from benchmarks._rollout_agents import carried_to_its_end
from benchmarks._rollout_fleet import fill, good, heard, signed
from benchmarks._rollout_steps import clear, idle, skip_the_first_wave
from benchmarks._rollout_timing import Took, timed, watch
from benchmarks._rollout_waits import PARKED, SHUT, waits
from benchmarks.history import database
from fleet.controller import plans
from fleet.controller.process import keep_what_is_there
from fleet.history.inbox import taking as inbox
from fleet.history.inbox.taking import Good
from fleet.history.rollouts import caps, tick
from fleet.history.rollouts.facts import facts_of
from fleet.history.rollouts.plans import apply_plan
from fleet.history.rollouts.tick import Outgoing
from fleet.history.sql.database import Database
from fleet.history.tables.rollouts import rollouts
from fleet.rollouts.advance import advance
from fleet.rollouts.selector import Selector
from fleet.rollouts.spec import Gate, LateJoiners, OfflineSpec, RolloutSpec, WaveSpec
from fleet.rollouts.states import HostState

BEGIN, END = "<!-- rollouts: written by benchmarks/rollouts.py -->", "<!-- rollouts: end -->"
BATCH = 500
AT_ONCE = 5000
"""Hosts that are dispatched, and go the whole way, in one run: what was asked to be dispatched in a second."""
DRAWN, APPLIED = "plan drawn and kept", "plan applied: the rows of its rollout"
GATE, IDLE = "gate: the facts of a wave of nine tenths, and the verdict", "idle tick, one rollout under way"
DISPATCH = "dispatch: decided, written, offered, marked as sent"
CLAIM = "claim alone: claims taken, orders decided, offered and marked as sent; SQL alone"
READY = "ready alone: readies with their pulls taken, gos decided and marked as sent; SQL alone"
REPORT = "report alone: outcomes taken, hosts settled, receipts marked as sent; SQL alone"
SQL_ALONE, SIGNED = "claim + report: the first and the third of these, SQL alone", "claim + report, with signatures"
WHOLE, WHOLE_SIGNED = (
    "the whole way: claim, ready and report, SQL alone",
    "the whole way, and the offer, with signatures",
)
DISPATCH_STATEMENTS = "of dispatch, the statements and commits alone"
STATEMENTS = "of claim + report, the statements and commits alone"
ASKED = {
    DRAWN: "3 s, with the next",
    APPLIED: "3 s, with the one before",
    GATE: "10 ms",
    IDLE: "20 ms",
    PARKED: "20 ms",
    SHUT: "20 ms",
    DISPATCH: "5,000 hosts/s",
    CLAIM: "",
    READY: "",
    REPORT: "",
    SQL_ALONE: "2,000 hosts/s",
    SIGNED: "500 hosts/s",
    WHOLE: "",
    WHOLE_SIGNED: "",
    DISPATCH_STATEMENTS: "",
    STATEMENTS: "",
}
"""The figures, and what was asked of the largest fleet on two idle cores."""
RATES = (DISPATCH, CLAIM, READY, REPORT, SQL_ALONE, SIGNED, WHOLE, WHOLE_SIGNED, DISPATCH_STATEMENTS, STATEMENTS)


def main() -> None:
    """Fill a database of each kind and size, measure, and print the table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000, 100_000])
    options.add_argument("--kinds", nargs="+", choices=["sqlite", "postgresql"], default=["sqlite", "postgresql"])
    options.add_argument("--runs", type=int, default=5)
    options.add_argument("--agents", type=int, default=2000, help="Simulated agents over a real Redis; 0: none.")
    options.add_argument("--write", action="store_true", help="Put the tables into docs/benchmarks.md.")
    given = options.parse_args()
    measured: dict[tuple[str, int], Measured] = {}
    keep_what_is_there()  # as the centre's processes do
    for kind in given.kinds:
        for size in sorted(given.sizes):
            # The server of PostgreSQL runs as another user, who must be let in.
            with tempfile.TemporaryDirectory(prefix="fr", dir="/var/tmp") as folder:
                Path(folder).chmod(0o755)
                with database(kind, Path(folder)) as db:
                    measured[kind, size] = measure(db, Path(folder), size, given.runs)
            print(kind, size, measured[kind, size], flush=True)
    lines = list(tables(measured, given.runs))
    if given.agents:
        lines += ["", carried_to_its_end(given.agents)]
    report = "\n".join(lines)
    print(report)
    if given.write:
        write_section(BEGIN, END, report)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The medians of one fleet over one database."""

    figures: Mapping[str, Took]
    load: float


def measure(db: Database, folder: Path, size: int, runs: int) -> Measured:
    """Fill *db* with *size* hosts, one container each, and return the median of each figure."""
    fill(db, size)
    watch(db)
    caps.set_cap(db, "site", "90%", by="bench", door="bench")
    loads = [os.getloadavg()[0]]
    found: dict[str, list[Took]] = {name: [] for name in ASKED}
    with inbox.lock(db, state_dir=folder, wait_s=0) as lock:
        road = _Road(db, lock)
        _once(road, size)  # statements are compiled once
        for _ in range(runs):
            for name, value in (_once(road, size) | waits(db, size)).items():
                found[name].append(value)
            loads.append(os.getloadavg()[0])
    return Measured(figures={name: _median(took) for name, took in found.items()}, load=statistics.median(loads))


def _median(took: Sequence[Took]) -> Took:
    return Took(
        cpu=statistics.median(each.cpu for each in took),
        wall=statistics.median(each.wall for each in took),
        statements=statistics.median(each.statements for each in took),
    )


class _Road:
    """What goes up and down between the centre and hosts that always say yes."""

    def __init__(self, db: Database, lock: inbox.InboxLock) -> None:
        self.db, self.lock = db, lock

    def send(self, handed: Sequence[Outgoing] = ()) -> list[Outgoing]:
        """Mark what was *handed* over with its commit as sent, and take what is due and mark it so."""
        found = list(handed)
        for start in range(0, len(found), BATCH):
            tick.mark_sent(self.db, found[start : start + BATCH])
        while some := tick.due_messages(self.db, BATCH):
            tick.mark_sent(self.db, some)
            found += some
            if len(some) < BATCH:
                break
        return found

    def take(self, said: list[Good]) -> None:
        """Let the inbox take what hosts said, a batch at a time."""
        for start in range(0, len(said), BATCH):
            inbox.take(self.db, self.lock, said[start : start + BATCH])


def _once(road: _Road, size: int) -> dict[str, Took]:
    """Go all the way once, and return each figure."""
    db, found, moving = road.db, dict[str, Took](), min(size, AT_ONCE)
    clear(db)
    plan, found[DRAWN] = timed(db, lambda: plans.make_plan(db, Selector(), by="bench"))
    lenient = Gate(success_pct=0, tolerance_pct=100, min_successes=0)
    spec = RolloutSpec(
        waves=(WaveSpec(size="10%", gate=lenient), WaveSpec(gate=Gate())),
        max_parallel=moving,
        rate_per_minute=10 * size,
        # As in the specs that people write.
        offline=OfflineSpec(park=True),
        late_joiners=LateJoiners.CONVERGE,
        quarantine_after=3,
    )
    id, found[APPLIED] = timed(db, lambda: apply_plan(db, plan.id, by="bench", door="bench", spec=spec))
    skip_the_first_wave(db, id)
    offers, advanced = timed(db, lambda: _advance(db, id))
    live = _live(db, id)
    sent, offered = timed(db, partial(road.send, offers))
    found[DISPATCH] = (advanced + offered).each(live)
    found[DISPATCH_STATEMENTS] = found[DISPATCH].sql()
    _, found[GATE] = timed(db, lambda: _facts(db, id))
    _, found[IDLE] = timed(db, lambda: idle(db))
    return found | _to_the_end(road, sent, live)


def _to_the_end(road: _Road, sent: list[Outgoing], live: int) -> dict[str, Took]:
    """Offer -> claim -> order -> ready -> go -> outcome -> receipt, of every host that was dispatched.

    Return what the centre took for one host; what hosts need to find their answers is not its work.
    """
    offered = signed([each.message for each in sent])
    found: dict[str, Took] = {}
    signatures: dict[str, float] = {}
    for step in (CLAIM, READY, REPORT):
        now = road.db.now()
        said = [good(each.host_id, up, now) for each in sent for up in heard(each.host_id, each.message, now)]
        _, taken = timed(road.db, partial(road.take, said))
        sent, sending = timed(road.db, road.send)
        if len(said) != live or len(sent) != live:
            raise RuntimeError(f"{len(said)} messages of {live} hosts, and {len(sent)} answers: {step}")
        found[step] = (taken + sending).each(live)
        signatures[step] = signed([each.message for each in said]) + signed([each.message for each in sent])
    found[SQL_ALONE] = found[CLAIM] + found[REPORT]
    found[STATEMENTS] = found[SQL_ALONE].sql()
    found[SIGNED] = found[SQL_ALONE].later(signatures[CLAIM] + signatures[REPORT])
    found[WHOLE] = found[SQL_ALONE] + found[READY]
    found[WHOLE_SIGNED] = found[WHOLE].later(sum(signatures.values()) + offered)
    return found


def _advance(db: Database, id: UUID) -> Sequence[Outgoing]:
    offers: list[Outgoing] = []
    sizes: caps.Sizes = {}
    while (advanced := tick.advance_rollout(db, id, sizes)).changed:
        offers += advanced.offers
    if not offers:
        raise RuntimeError("the rollout does nothing")
    return offers


def _facts(db: Database, id: UUID) -> None:
    """Ask for all that a verdict is made of, and make it."""
    with db.reading() as connection:
        row = connection.execute(rollouts.select().where(rollouts.c.id == id)).mappings().one()
        now = db.moment(connection)
        if advance(facts_of(connection, row, now), now):
            raise RuntimeError("the rollout is not at rest")


def _live(db: Database, id: UUID) -> int:
    with db.reading() as connection:
        row = connection.execute(rollouts.select().where(rollouts.c.id == id)).mappings().one()
        live = facts_of(connection, row, db.now()).count(HostState.DISPATCHED, HostState.PULLING)
    if not live:
        raise RuntimeError("no host was dispatched")
    return live


def tables(measured: Mapping[tuple[str, int], Measured], runs: int) -> Iterator[str]:
    """Yield the lines of the table: a column a database and size, a row a figure."""
    sides = list(measured)
    commit = subprocess.run(["git", "describe", "--always"], capture_output=True, text=True, check=False).stdout.strip()
    yield f"Commit {commit or '?'}, {datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, medians of {runs} runs."
    yield "By processor time, and in brackets by the clock, at the load below."
    yield ""
    yield "| Figure | Asked of 100,000 hosts | " + " | ".join(f"{kind} {size:,}" for kind, size in sides) + " |"
    yield "|---|---|" + "---|" * len(sides)
    for name, asked in ASKED.items():
        yield f"| {name} | {asked} | " + " | ".join(_both(name, measured[side].figures[name]) for side in sides) + " |"
    for alone, with_them in ((SQL_ALONE, SIGNED), (WHOLE, WHOLE_SIGNED)):
        share = [1 - m.figures[alone].cpu / m.figures[with_them].cpu for m in measured.values()]
        yield f"| the signatures' share of: {with_them} | | " + " | ".join(f"{part:.0%}" for part in share) + " |"
    shares = [_shares(m.figures[SIGNED], m.figures[SQL_ALONE]) for m in measured.values()]
    yield f"| {SIGNED}: statements and commits, Python, signatures | | " + " | ".join(shares) + " |"
    shares = [_shares(m.figures[DISPATCH], m.figures[DISPATCH]) for m in measured.values()]
    yield f"| {DISPATCH}: statements and commits, Python | | " + " | ".join(shares) + " |"
    yield "| load average | | " + " | ".join(f"{m.load:.1f}" for m in measured.values()) + " |"


def _shares(whole: Took, unsigned: Took) -> str:
    """Return what part of *whole* statements, Python and, where there are any, signatures are."""
    parts = [unsigned.statements, unsigned.cpu - unsigned.statements, whole.cpu - unsigned.cpu]
    return ", ".join(f"{part / whole.cpu:.0%}" for part in parts if part)


def _both(name: str, took: Took) -> str:
    return f"{_figure(name, took.cpu)} ({_figure(name, took.wall)})"


def _figure(name: str, seconds: float) -> str:
    if name in RATES:
        return f"{1 / max(seconds, 1e-9):,.0f}/s"
    return f"{seconds:.2f} s" if name in (DRAWN, APPLIED) else f"{1000 * seconds:.1f} ms"


if __name__ == "__main__":
    main()
