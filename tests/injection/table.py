"""``make injection``: every fault at every call and every write of an update, on every engine, as a table.

What came of each engine and shape goes to dist/injection, and docs/fault-injection.md is written from all that is there, so that
they may be tried one by one: ``python -m tests.injection.table 20.10 29/rm``. A case in which the promise was broken ends it with exit
code 1.
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
    """What came of one shape on one engine."""

    engine: Generation
    shape: str
    commit: str
    day: str
    minutes: float
    load: float
    """Of the whole machine, when it ended."""
    points: tuple[Point, ...]
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

| Engine | Container | Cases | Held | Run on | At commit | Minutes, on {cores} shared cores | Load at the end |
|---|---|---|---|---|---|---|---|
"""


def run(generation: Generation, shapes: Sequence[str]) -> list[Part]:
    """Try everything of *shapes* on one engine, and keep what came of each."""
    parts = []
    with fields() as of:
        field = of(generation)
        for shape in shapes:
            points, began = field.points(shape), time.monotonic()
            found = field.run(every(generation, shape, points))
            part = Part(
                engine=generation,
                shape=shape,
                commit=subprocess.check_output(["git", "describe", "--always"], text=True, cwd=ROOT).strip(),
                day=datetime.now(UTC).date().isoformat(),
                minutes=round((time.monotonic() - began) / 60, 1),
                load=round(os.getloadavg()[0], 1),
                points=points,
                verdicts=tuple(found),
            )
            _file(generation, shape).write_bytes(PART.dump_json(part))
            _tell(part)
            parts.append(part)
    return parts


def page(parts: Sequence[Part], cores: int) -> str:
    """Return the page (pure)."""
    held, tried = sum(part.held for part in parts), sum(len(part.verdicts) for part in parts)
    lines = [_WORDS.format(held=held, tried=tried, cores=cores).rstrip("\n")]
    lines += [
        f"| {part.engine} | {part.shape} | {len(part.verdicts)} | {part.held} | {part.day} | {part.commit} "
        f"| {part.minutes} | {part.load} |"
        for part in parts
    ]
    lines += ["", "A cell below is how many cases held, of how many."]
    for shape, faults in PLAN.items():
        mine = [part for part in parts if part.shape == shape]
        if mine:
            lines += [
                "",
                f"## {shape}: {MEANING[shape]}",
                "",
                f"| Fault | {' | '.join(part.engine for part in mine)} |",
            ]
            lines += [f"|---|{'---|' * len(mine)}"]
            lines += [f"| {fault} | {' | '.join(_cell(part, fault) for part in mine)} |" for fault in faults]
            lines += ["", f"What the updates came to: {_results(mine)}.", ""]
            lines += [f"Points on {mine[0].engine}: {_points(mine[0])}."]
    broken = [one for part in parts for one in part.verdicts if one.broken]
    if broken:
        lines += ["", "## Broken", "", *(f"- {one.case.engine}, {_told(one)}" for one in broken)]
    return "\n".join(lines) + "\n"


def _file(generation: Generation, shape: str) -> Path:
    return PARTS / f"{generation}-{shape}.json"


def _cell(part: Part, fault: Fault) -> str:
    mine = [one for one in part.verdicts if one.case.fault is fault]
    held = sum(not one.broken for one in mine)
    return f"{held} of {len(mine)}" if held == len(mine) else f"**{held} of {len(mine)}**"


def _points(part: Part) -> str:
    return ", ".join(f"`{point.label}`" for point in part.points)


def _results(parts: Iterable[Part]) -> str:
    counted = Counter(one.result or "none" for part in parts for one in part.verdicts)
    return ", ".join(f"{number} {result}" for result, number in counted.most_common())


def _told(verdict: Verdict) -> str:
    case = verdict.case
    return f"{case.shape}, {case.fault} at {case.point}: {verdict.broken}"


def _tell(part: Part) -> None:
    print(
        f"{part.engine:16} {part.shape:12} {part.held:3} of {len(part.verdicts):3}  {part.minutes:5.1f} min", flush=True
    )
    for one in part.verdicts:
        if one.broken:
            print(f"    {_told(one)}", flush=True)


def main(names: Sequence[str]) -> int:
    """Try everything on the engines of *names* (ENGINE or ENGINE/SHAPE), all by default; write the page from what is known."""
    PARTS.mkdir(parents=True, exist_ok=True)
    tried: list[Part] = []
    for name in names or list(Generation):
        engine, _, shape = name.partition("/")
        tried += run(Generation(engine), [shape] if shape else list(PLAN))
    files = [_file(generation, shape) for generation in Generation for shape in PLAN]
    known = [PART.validate_json(file.read_bytes()) for file in files if file.exists()]
    PAGE.write_text(page(known, os.cpu_count() or 1))
    number, held = sum(len(part.verdicts) for part in tried), sum(part.held for part in tried)
    print(f"{number} cases, the promise held in {held}", flush=True)
    return 0 if held == number else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
