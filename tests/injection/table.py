"""``make injection``: every fault at every call and every write of an update, on every engine, as a table.

What came of each engine goes to dist/injection, and docs/fault-injection.md is written from all that is there, so that engines
may be tried one by one: ``python -m tests.injection.table 20.10 29``. A case in which the promise was broken ends it with exit code 1.
"""

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import TypeAdapter

from tests.injection.faults import Fault, Point
from tests.injection.field import Verdict
from tests.injection.fields import fields
from tests.injection.plan import PLAN, every
from tests.injection.shapes import MEANING
from tests.lab.engines import Generation

ROOT = Path(__file__).parents[2]
PAGE, PARTS = ROOT / "docs" / "fault-injection.md", ROOT / "dist" / "injection"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What came of one engine."""

    engine: Generation
    commit: str
    day: str
    minutes: float
    load: float
    """Of the whole machine, when it ended."""
    points: dict[str, tuple[Point, ...]]
    """Of each shape."""
    verdicts: tuple[Verdict, ...]

    @property
    def held(self) -> int:
        """In how many cases the promise held."""
        return sum(not one.broken for one in self.verdicts)


PART = TypeAdapter(Part)
_WORDS = """\
# Faults at every call and every write of an update

**{held} of {tried} cases held.** `make injection` wrote this page; nothing in it is written by hand.

In each case one container with data in an anonymous volume is updated on a real engine, and one thing goes wrong at one
point: at a request to the engine (a proxy on the engine's socket counts them), or before or after a write of the agent's
journal. The agent is a process of its own, and is started again until it has an outcome. A case holds if, after the agent's
next start, exactly one of the two runs, the old container or the verified new one, as the outcome says; with the same
configuration, volumes and data; if nothing is left over; and if every later start tells the same outcome until it is taken
over. A read of the engine that fails before or after it was carried out is one case, not two.

| Engine | Cases | Held | Run on | At commit | Minutes, on {cores} shared cores | Load at the end |
|---|---|---|---|---|---|---|
"""


def run(generation: Generation) -> Part:
    """Try everything on one engine."""
    began = time.monotonic()
    verdicts: list[Verdict] = []
    points: dict[str, tuple[Point, ...]] = {}
    with fields() as of:
        field = of(generation)
        for shape in PLAN:
            points[shape], shape_began = field.points(shape), time.monotonic()
            found = field.run(every(generation, shape, points[shape]))
            verdicts += found
            _tell(generation, shape, found, time.monotonic() - shape_began)
    return Part(
        engine=generation,
        commit=subprocess.check_output(["git", "describe", "--always"], text=True, cwd=ROOT).strip(),
        day=datetime.now(UTC).date().isoformat(),
        minutes=round((time.monotonic() - began) / 60, 1),
        load=round(os.getloadavg()[0], 1),
        points=points,
        verdicts=tuple(verdicts),
    )


def page(parts: Sequence[Part], cores: int) -> str:
    """Return the page (pure)."""
    held, tried = sum(part.held for part in parts), sum(len(part.verdicts) for part in parts)
    lines = [_WORDS.format(held=held, tried=tried, cores=cores).rstrip("\n")]
    for part in parts:
        lines.append(
            f"| {part.engine} | {len(part.verdicts)} | {part.held} | {part.day} | {part.commit} | {part.minutes} | {part.load} |"
        )
    lines += ["", "A cell below is how many cases held, of how many."]
    for shape, faults in PLAN.items():
        lines += ["", f"## {shape}: {MEANING[shape]}", "", f"| Fault | {' | '.join(part.engine for part in parts)} |"]
        lines += [f"|---|{'---|' * len(parts)}"]
        lines += [f"| {fault} | {' | '.join(_cell(part, shape, fault) for part in parts)} |" for fault in faults]
        mine = [one for part in parts for one in part.verdicts if one.case.shape == shape]
        lines += ["", f"What the updates came to: {_results(mine)}.", ""]
        lines += [f"Points on {part.engine}: {_points(part, shape)}." for part in parts[:1]]
    broken = [one for part in parts for one in part.verdicts if one.broken]
    if broken:
        lines += ["", "## Broken", "", *(f"- {one.case.engine}, {_told(one)}" for one in broken)]
    return "\n".join(lines) + "\n"


def _cell(part: Part, shape: str, fault: Fault) -> str:
    mine = [one for one in part.verdicts if one.case.fault is fault and one.case.shape == shape]
    held = sum(not one.broken for one in mine)
    return f"{held} of {len(mine)}" if held == len(mine) else f"**{held} of {len(mine)}**"


def _points(part: Part, shape: str) -> str:
    return ", ".join(f"`{point.label}`" for point in part.points[shape])


def _results(verdicts: Iterable[Verdict]) -> str:
    counted = Counter(one.result or "none" for one in verdicts)
    return ", ".join(f"{number} {result}" for result, number in counted.most_common())


def _told(verdict: Verdict) -> str:
    case = verdict.case
    return f"{case.shape}, {case.fault} at {case.point}: {verdict.broken}"


def _tell(generation: Generation, shape: str, found: Sequence[Verdict], seconds: float) -> None:
    broken = [one for one in found if one.broken]
    print(f"{generation:16} {shape:12} {len(found) - len(broken):3} of {len(found):3}  {seconds:5.1f} s", flush=True)
    for one in broken:
        print(f"    {_told(one)}", flush=True)


def main(names: Sequence[str]) -> int:
    """Try everything on the engines of *names*, all by default; write the page from what is known of each engine."""
    PARTS.mkdir(parents=True, exist_ok=True)
    tried = [run(Generation(name)) for name in names or list(Generation)]
    for part in tried:
        (PARTS / f"{part.engine}.json").write_bytes(PART.dump_json(part))
    files = [PARTS / f"{generation}.json" for generation in Generation]
    parts = [PART.validate_json(file.read_bytes()) for file in files if file.exists()]
    PAGE.write_text(page(parts, os.cpu_count() or 1))
    number, held = sum(len(part.verdicts) for part in tried), sum(part.held for part in tried)
    print(f"{number} cases, the promise held in {held}", flush=True)
    return 0 if held == number else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
