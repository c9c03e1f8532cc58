"""``make injection``: every fault at every call and every write of an update, on every engine, as a table.

It writes docs/fault-injection.md. A case in which the promise was broken ends it with exit code 1, after the table is written.
"""

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from tests.injection.faults import Fault, Point, points_of
from tests.injection.field import Verdict
from tests.injection.fields import fields
from tests.injection.plan import PLAN
from tests.injection.shapes import MEANING
from tests.lab.engines import Generation

PAGE = Path(__file__).parents[2] / "docs" / "fault-injection.md"
_WORDS = """\
# Faults at every call and every write of an update

**{held} of {tried} cases held.** `make injection` wrote this page on {date} at commit {commit}, on {cores} cores that were
shared (load {load:.1f} at the end), in {minutes:.0f} minutes; nothing in it is written by hand.

In each case one container with data in an anonymous volume is updated on a real engine, and one thing goes wrong at one
point: at a request to the engine (a proxy on the engine's socket counts them), or before or after a write of the agent's
journal. The agent is a process of its own, and is started again until it has an outcome. A case holds if, after the agent's
next start, exactly one of the two runs, the old container or the verified new one, as the outcome says; with the same
configuration, volumes and data; if nothing is left over; and if every later start tells the same outcome until it is taken
over. A read of the engine that fails before or after it was carried out is one case, not two.

A cell is how many cases held, of how many.
"""


def run(generations: Sequence[Generation]) -> tuple[list[Verdict], dict[str, tuple[Point, ...]]]:
    """Try everything on each engine in turn; return what came of it, and the points of each shape on the last engine."""
    verdicts: list[Verdict] = []
    points: dict[str, tuple[Point, ...]] = {}
    for generation in generations:
        # One engine at a time: the figures are told for two cores.
        with fields() as of:
            field = of(generation)
            for shape, faults in PLAN.items():
                points[shape] = field.points(shape)
                for fault in faults:
                    began = time.monotonic()
                    found = field.run(shape, fault, points_of(fault, points[shape]))
                    verdicts += found
                    _tell(generation, shape, fault, found, time.monotonic() - began)
    return verdicts, points


def page(verdicts: Sequence[Verdict], points: dict[str, tuple[Point, ...]], **facts: object) -> str:
    """Return the page (pure)."""
    held = sum(not one.broken for one in verdicts)
    lines = [_WORDS.format(held=held, tried=len(verdicts), **facts)]
    engines = list(dict.fromkeys(one.case.engine for one in verdicts))
    for shape, faults in PLAN.items():
        mine = [one for one in verdicts if one.case.shape == shape]
        lines += ["", f"## {shape}: {MEANING[shape]}", "", f"| Fault | {' | '.join(engines)} |"]
        lines += [f"|---|{'---|' * len(engines)}"]
        lines += [f"| {fault} | {' | '.join(_cell(mine, fault, engine) for engine in engines)} |" for fault in faults]
        lines += ["", "What the agents' updates came to: " + _results(mine) + ".", ""]
        lines += [f"Points on {engines[-1]}: " + ", ".join(f"`{point.label}`" for point in points[shape]) + "."]
    broken = [one for one in verdicts if one.broken]
    if broken:
        lines += ["", "## Broken", "", *(f"- {one.case.engine}, {_told(one)}" for one in broken)]
    return "\n".join(lines) + "\n"


def _cell(verdicts: Iterable[Verdict], fault: Fault, engine: Generation) -> str:
    mine = [one for one in verdicts if one.case.fault is fault and one.case.engine is engine]
    held = sum(not one.broken for one in mine)
    return f"{held} of {len(mine)}" if held == len(mine) else f"**{held} of {len(mine)}**"


def _results(verdicts: Iterable[Verdict]) -> str:
    counted = Counter(one.result or "none" for one in verdicts)
    return ", ".join(f"{number} {result}" for result, number in counted.most_common())


def _told(verdict: Verdict) -> str:
    case = verdict.case
    return f"{case.shape}, {case.fault} at {case.point}: {verdict.broken}"


def _tell(generation: Generation, shape: str, fault: Fault, found: Sequence[Verdict], seconds: float) -> None:
    broken = [one for one in found if one.broken]
    print(
        f"{generation:16} {shape:7} {fault:42} {len(found) - len(broken):3} of {len(found):3}  {seconds:5.1f} s",
        flush=True,
    )
    for one in broken:
        print(f"    {_told(one)}", flush=True)


def main(names: Sequence[str]) -> int:
    """Try everything on the engines of *names*, all by default, and write the page where it was all of them."""
    generations = [Generation(name) for name in names] or list(Generation)
    began = time.monotonic()
    verdicts, points = run(generations)
    commit = subprocess.run(["git", "describe", "--always"], capture_output=True, text=True, check=False).stdout.strip()
    text = page(
        verdicts,
        points,
        date=datetime.now(UTC).date(),
        commit=commit,
        cores=os.cpu_count(),
        load=os.getloadavg()[0],
        minutes=(time.monotonic() - began) / 60,
    )
    if len(generations) == len(Generation):
        PAGE.write_text(text)
    broken = sum(bool(one.broken) for one in verdicts)
    print(f"{len(verdicts)} cases, the promise held in {len(verdicts) - broken}", flush=True)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
