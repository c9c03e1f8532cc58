"""``make faults``: every fault of a mirror, on engines with both image stores, directly and through the gateway, as a table.

It writes docs/fault-matrix.md. A row that breaks a promise ends it with exit code 1, after the table is written.
"""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.lab.engines import Generation
from tests.lab.fault_bench import Bench, Direct, Through
from tests.lab.fault_cases import CASES, NO_FAULT, Case
from tests.lab.lab import Lab

PAGE = Path(__file__).parents[2] / "docs" / "fault-matrix.md"
ENGINES = (Generation.V20, Generation.V26_CONTAINERD)
"""One for each image store."""
FIRST_S, AGAIN_S = 12.0, 0.5
"""What a faulty source may cost: the first time, and while its breaker is open (docs: pull engine)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One case on one engine."""

    case: Case
    direct: Direct | None
    first: Through
    again: Through
    baseline_s: float


def broken_promises(row: Row) -> list[str]:
    """Return which promises *row* breaks (pure)."""
    found = []
    for which, pull in (("first", row.first), ("second", row.again)):
        if not (pull.ok and pull.right):
            found.append(f"the {which} pull did not end with the right digest: {pull.reason}")
        if row.case.logged and pull.mirror_bytes > pull.mirror_sent:
            found.append(
                f"the {which} pull says that the mirror gave {pull.mirror_bytes} bytes, its log {pull.mirror_sent}"
            )
        if not row.case.twice and pull.origin_bytes != pull.origin_sent:
            found.append(
                f"the {which} pull says that the origin gave {pull.origin_bytes} bytes, its log {pull.origin_sent}"
            )
    if row.first.seconds - row.baseline_s > FIRST_S:
        found.append(f"the fault cost {row.first.seconds - row.baseline_s:.1f} s the first time")
    return found


def measure(bench: Bench, generation: Generation, cases: Sequence[Case]) -> list[Row]:
    """Try *cases* on one engine."""
    host = bench.lab.host(f"faults-{generation.replace('.', '-')}", generation)
    baseline_s = bench.baseline_s(host)
    rows = []
    for case in cases:
        began = time.monotonic()
        direct = bench.direct(host, case)
        first, again = bench.through(host, case)
        row = Row(case=case, direct=direct, first=first, again=again, baseline_s=baseline_s)
        rows.append(row)
        told = "; ".join(broken_promises(row)) or "holds"
        print(f"{generation:16} {case.name:48} {time.monotonic() - began:6.1f} s  {told}", flush=True)
    return rows


_WORDS = """\
# Every fault of a mirror, on real engines

`make faults` wrote this page on {date} at commit {commit}, on {cores} cores that were shared (load {load:.1f} at the end).
One mirror of Docker Hub does wrong in each row; the origin does well. *Alone* is `docker pull` with the mirror in daemon.json: what came
of it, and after how many seconds (an engine that had not ended after 45 s counts as hanging). *Gateway* is Fleet's pull: what the
mirror's attempt says in the history, and the seconds that the fault added to a pull without one, the first time and for the next
image. *Bytes* are those of the first pull that the history gives to mirror and origin. A row holds where both pulls end with the right
digest, the first costs at most 12 s, the origin's bytes equal its own access log, and the mirror's do not exceed its log.
"""
_COLUMNS = (
    "Fault of the mirror",
    "Alone",
    "Gateway: the mirror",
    "First: added s",
    "Next: added s",
    "Bytes: mirror",
    "Bytes: origin",
    "Holds",
)


def page(rows: dict[Generation, list[Row]], commit: str, *, at: datetime, load: float) -> str:
    """Return the table (pure)."""
    lines = [_WORDS.format(date=f"{at:%Y-%m-%d}", commit=commit, cores=os.cpu_count(), load=load)]
    for generation, measured in rows.items():
        lines += [f"## {generation}", ""]
        lines += [f"A pull through the gateway without a fault took {measured[0].baseline_s:.2f} s.", ""]
        lines += [f"| {' | '.join(_COLUMNS)} |", f"|{'---|' * len(_COLUMNS)}", *map(_line, measured), ""]
    return "\n".join(lines)


def _line(row: Row) -> str:
    direct = f"{row.direct.verdict}, {row.direct.seconds:.1f} s" if row.direct else "-"
    broken = broken_promises(row)
    cells = [
        row.case.name,
        direct,
        row.first.mirror or "left out of the route",
        f"{max(0.0, row.first.seconds - row.baseline_s):.1f}",
        f"{max(0.0, row.again.seconds - row.baseline_s):.1f}",
        f"{row.first.mirror_bytes:,}",
        f"{row.first.origin_bytes:,}",
        "yes" if not broken else "**no**: " + "; ".join(broken),
    ]
    return f"| {' | '.join(cells)} |"


def main() -> int:
    """Measure everything and write the page; return the exit code."""
    chosen = [case for case in CASES if not sys.argv[1:] or any(word in case.name for word in sys.argv[1:])]
    with Lab() as lab:
        bench = Bench(lab)
        rows = {
            generation: measure(bench, generation, [NO_FAULT, *chosen])
            for generation in ENGINES
            if generation.installed
        }
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    ).stdout
    if not sys.argv[1:]:
        PAGE.write_text(page(rows, commit.strip(), at=datetime.now(UTC), load=os.getloadavg()[0]))
    return 1 if any(broken_promises(row) for measured in rows.values() for row in measured) else 0


if __name__ == "__main__":
    sys.exit(main())
