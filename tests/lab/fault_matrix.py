"""``make faults``: every fault of a mirror, on engines with both image stores, directly and through the gateway, as a table.

It writes docs/fault-matrix.md. A row that breaks a promise ends it with exit code 1, after the table is written. Words
choose cases by their names, whose rows of the page are then replaced (``make faults WORDS="'blob: 500' killed"``).
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from tests.lab.engines import Generation
from tests.lab.fault_bench import Bench, Lane
from tests.lab.fault_cases import CASES, NO_FAULT, Case, Ending, Place
from tests.lab.fault_pulls import Direct, Measured, Through, direct, through
from tests.lab.lab import Lab

PAGE = Path(__file__).parents[2] / "docs" / "fault-matrix.md"
ENGINES = (Generation.V20, Generation.V26_CONTAINERD)
"""One for each image store."""
FIRST_S, AGAIN_S = 12.0, 0.5
"""What a faulty source may cost: the first time, and while its breaker is open."""
MOST_TRIES = 3
"""So often a case is tried that is late and keeps every other promise."""
_LAUNCH_S = 1.0
"""How exact the first is: on a busy machine a pull without a fault differs by that from another."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One case on one engine."""

    case: Case
    direct: Direct | None
    pulls: Measured
    leaked: Sequence[str] = ()
    """The mirrors that were shown a password that is not theirs."""

    @property
    def first_s(self) -> float:
        """What the fault cost the first time."""
        return max(0.0, self.pulls.first.seconds - self.pulls.baseline_s)

    @property
    def again_s(self) -> float:
        """What it cost the next time."""
        return max(0.0, self.pulls.again.seconds - self.pulls.baseline_s)


def broken_promises(row: Row) -> list[str]:
    """Return which promises *row* breaks (pure)."""
    found = [f"{name} was shown the password of Docker Hub" for name in row.leaked]
    for which, pull in (("first", row.pulls.first), ("next", row.pulls.again)):
        fails = row.case.ending is Ending.FAILED or (row.case.ending is Ending.GOES_ON and which == "first")
        if not (_fails_well(pull) if fails else pull.ok and pull.right):
            found.append(f"the {which} pull did not end as it must: {pull.reason or 'another digest'}")
        found += [f"the {which} pull says that {text}" for text in _false_accounts(row.case, pull)]
    return found + late(row)


def late(row: Row) -> list[str]:
    """Return which bounds of time *row* breaks (pure)."""
    found = []
    if row.first_s > FIRST_S * row.case.stalls + _LAUNCH_S:
        found.append(f"the fault cost {row.first_s:.1f} s the first time")
    if row.again_s > AGAIN_S and row.case.ending is Ending.RIGHT and not row.case.killed:
        found.append(f"the fault cost {row.again_s:.1f} s the next time")
    return found


def served(lane: Lane, case: Case) -> Measured:
    """Pull through the gateway; where the clock alone breaks a promise, again, since a busy machine adds to any figure."""
    measured = through(lane, case)
    for _ in range(MOST_TRIES - 1):
        row = Row(case=case, direct=None, pulls=measured)
        if not late(row) or broken_promises(row) != late(row):
            return measured
        measured = through(lane, case, twice=True)
    return measured


def _fails_well(pull: Through) -> bool:
    return not pull.ok and pull.reason.startswith("cannot") and pull.untouched


def _false_accounts(case: Case, pull: Through) -> list[str]:
    """Return where the history of *pull* and the registries' own logs differ, or where its bytes do not add up."""
    found = []
    if case.place is not Place.ALONE and not case.twice and pull.origin_bytes != pull.origin_sent:
        found.append(f"the origin gave {pull.origin_bytes} bytes, its log {pull.origin_sent}")
    if case.logged and pull.mirror_bytes > pull.mirror_sent:
        found.append(f"the mirror gave {pull.mirror_bytes} bytes, its log {pull.mirror_sent}")
    if case.logged and not case.wasted and pull.mirror_bytes < pull.mirror_sent:
        found.append(f"the mirror gave {pull.mirror_bytes} bytes, its log {pull.mirror_sent}")
    total = pull.mirror_bytes + pull.origin_bytes
    # An engine may keep a manifest from the pull in which the agent was killed.
    if case.ending is Ending.RIGHT and not case.killed and pull.ok and total != pull.whole_bytes:
        found.append(f"the sources gave {total} bytes, of {pull.whole_bytes}")
    return found


def measure(bench: Bench, cases: Sequence[Case]) -> dict[Generation, list[Row]]:
    """Try *cases* on each engine that is installed, both ways beside each other, and those that wait beside the rest."""
    engines = [generation for generation in ENGINES if generation.installed]
    parts = {part: [case for case in cases if _part(case) == part] for part in map(_part, cases)}
    works = [(generation, part) for generation in engines for part in parts]
    alone = {work: bench.lane(work[0], f"alone{work[1]}") for work in works}
    lanes = {work: bench.lane(work[0], f"served{work[1]}") for work in works}
    with ThreadPoolExecutor(2 * len(works)) as pool:
        directs = {w: pool.submit(_each, alone[w], parts[w[1]], direct, "alone") for w in works}
        pulls = {w: pool.submit(_each, lanes[w], parts[w[1]], served, "through the gateway") for w in works}
    leaked = {w: tuple(lanes[w].leaked()) for w in works if pulls[w].result()}
    return {
        generation: [
            Row(
                case=case,
                direct=directs[generation, _part(case)].result()[case.name],
                pulls=pulls[generation, _part(case)].result()[case.name],
                leaked=leaked[generation, _part(case)],
            )
            for case in cases
        ]
        for generation in engines
    }


def _part(case: Case) -> str:
    return "waiting" if case.waits else ""


def _each(lane: Lane, cases: Sequence[Case], act: Callable[[Lane, Case], T], way: str) -> Mapping[str, T]:
    found = {}
    for case in cases:
        began = time.monotonic()
        found[case.name] = act(lane, case)
        took = time.monotonic() - began
        print(f"{lane.host.generation:16} {way:20} {case.name:48} {took:6.1f} s", flush=True)
    lane.close()
    return found


_WORDS = """\
# Every fault of a mirror, on real engines

`make faults` wrote this page on {date} at commit {commit}, in {minutes:.0f} minutes, on {cores} cores that were shared
(load {load} at the start and at the end). In each row one mirror of Docker Hub does wrong and the origin does well; at
the end are those where no source is left.

- *Alone* is `docker pull` with the mirror in daemon.json: what came of it, and after how many seconds. An engine that
  had not ended after 45 s counts as hanging (5 s where bytes come without end: it keeps them all in memory).
- *Through the gateway* is Fleet's pull: what the attempt of whoever does wrong says in the history, and the seconds
  that the fault added to a pull without it, measured just before in the same process: the first time, and for the next
  image, which meets open breakers.
- *Bytes* are those of the first pull that the history gives to the mirror and to the origin, and in brackets what their
  own logs say that they sent, where that is more.

A row holds where both pulls end with the right digest or, where no source is left, with a failure that names the
reason, the old image under its name and its container untouched (one that stalls every 300 kB and is alone is asked
twice, and the next pull goes on from there to the right digest); the first costs at most {first:g} s and the next at
most {again:g} s; the origin's bytes equal its own log to the byte, and the mirror's too, where it sent none that were
of no use; the bytes of all sources add up to the image; and no mirror was ever shown the password of Docker Hub that
the host has. A row that is late and keeps every other promise is measured again, at most {tries} times in all, then with
two pulls without the fault and two next ones, of which the quicker count: what else the machine does adds to the figures
and never takes away. Where a commit stands with a row, that row was measured again by
itself, then.
"""
_COLUMNS = (
    "Fault",
    "Alone",
    "Through the gateway",
    "First: added s",
    "Next: added s",
    "Bytes: mirror",
    "Bytes: origin",
    "Holds",
)


def page(rows: Mapping[Generation, Sequence[Row]], commit: str, *, at: datetime, load: str, seconds: float) -> str:
    """Return the table (pure)."""
    words = {"date": f"{at:%Y-%m-%d}", "commit": commit, "cores": os.cpu_count(), "load": load, "minutes": seconds / 60}
    lines = [_WORDS.format(**words, first=FIRST_S, again=AGAIN_S, tries=MOST_TRIES)]
    for generation, measured in rows.items():
        holding = sum(not broken_promises(row) for row in measured)
        lines += [f"## {generation}", "", f"{holding} of {len(measured)} rows hold.", ""]
        lines += [f"| {' | '.join(_COLUMNS)} |", f"|{'---|' * len(_COLUMNS)}", *map(_line, measured), ""]
    return "\n".join(lines)


def replaced(text: str, rows: Mapping[Generation, Sequence[Row]], commit: str) -> str:
    """Return the page *text* with *rows* in place of those of the same cases, and *commit* beside each (pure).

    A case that the page does not have yet stands at the end of its table.
    """
    sections, named = text.split("## "), {str(generation): measured for generation, measured in rows.items()}
    for number, section in enumerate(sections):
        generation, _, rest = section.partition("\n")
        fresh = {f"| {row.case.name} |": _line(row, commit) for row in named.get(generation, ())}
        lines = [
            next((new for begin, new in fresh.items() if line.startswith(begin)), line) for line in rest.split("\n")
        ]
        last = max((at for at, line in enumerate(lines) if line.startswith("| ")), default=-1) + 1
        lines[last:last] = [new for new in fresh.values() if new not in lines]
        table = [line for line in lines if line.startswith("| ") and not line.startswith(f"| {_COLUMNS[0]} |")]
        holding = sum(line.rstrip(" |").rpartition("| ")[2].startswith("yes") for line in table)
        lines = [f"{holding} of {len(table)} rows hold." if line.endswith(" rows hold.") else line for line in lines]
        sections[number] = "\n".join([generation, *lines])
    return "## ".join(sections)


def _line(row: Row, commit: str = "") -> str:
    broken, first = broken_promises(row), row.pulls.first
    in_vain = row.case.ending is not Ending.RIGHT
    cells = [
        row.case.name,
        f"{row.direct.verdict}, {row.direct.seconds:.1f} s" if row.direct else "-",
        ("named failure: " if in_vain and not first.ok else "") + (first.mirror or "left out of the route"),
        f"{row.first_s:.1f}",
        f"{row.again_s:.1f}",
        _bytes(first.mirror_bytes, first.mirror_sent),
        _bytes(first.origin_bytes, first.origin_sent),
        ("yes" if not broken else "**no**: " + "; ".join(broken)) + (f" ({commit})" if commit else ""),
    ]
    return f"| {' | '.join(cells)} |"


def _bytes(given: int, sent: int) -> str:
    return f"{given:,} ({sent:,})" if sent > given else f"{given:,}"


def main() -> int:
    """Measure everything and write the page; return the exit code."""
    chosen = [case for case in CASES if not sys.argv[1:] or any(word in case.name for word in sys.argv[1:])]
    began, load = time.monotonic(), f"{os.getloadavg()[0]:.1f}"
    with Lab() as lab:
        rows = measure(Bench(lab), [NO_FAULT, *chosen])
    load, seconds = f"{load} and {os.getloadavg()[0]:.1f}", time.monotonic() - began
    for generation, measured in rows.items():
        for row in measured:
            print(f"{generation:16} {row.case.name:48} {'; '.join(broken_promises(row)) or 'holds'}")
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    ).stdout
    if sys.argv[1:]:
        PAGE.write_text(replaced(PAGE.read_text(), rows, commit.strip()))
    else:
        PAGE.write_text(page(rows, commit.strip(), at=datetime.now(UTC), load=load, seconds=seconds))
    return 1 if any(broken_promises(row) for measured in rows.values() for row in measured) else 0


if __name__ == "__main__":
    sys.exit(main())
