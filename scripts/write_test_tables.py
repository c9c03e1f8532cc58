"""The page docs/test-full.md: what `make test-full` proved, as tables, from the JUnit files that pytest leaves (test_full.py)."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from pydantic import TypeAdapter

ENGINES = ("20.10", "26.1", "26.1-containerd", "29")
"""The columns of a matrix, as the ids of parametrized tests name them."""
_HOSTS = {"oak": "20.10", "elm": "26.1-containerd"}
"""Which engine runs on the hosts of the scenarios (tests/scenarios/small_fleet.py)."""
_ENGINE = re.compile(rf"(?:^|-)({'|'.join(sorted([*map(re.escape, ENGINES), *_HOSTS], key=len, reverse=True))})(?=-|$)")
FEWEST_CASES = 10
"""A test with fewer cases is not told of by itself."""
FEWEST_ROWS = 3
"""A file with fewer cases over the engines is no matrix, and only counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One test that ran."""

    file: str
    """``tests/updates/test_zoo.py``"""
    title: str
    """What it says, as words, with its parameters but the engine."""
    engine: str
    """Empty where it runs on none, or on several."""
    result: str
    """``passed``, ``failed``, ``skipped`` or ``known to fail``."""
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What came of one part."""

    name: str
    commit: str
    day: str
    minutes: float
    load: float
    """Of the whole machine, over the last quarter of an hour of it."""
    cases: Sequence[Case]
    again: Sequence[Case] = ()
    """How those that failed ended when they ran a second time, alone."""

    @property
    def failed(self) -> Sequence[Case]:
        """What failed when all of it ran."""
        return [case for case in self.cases if case.result == "failed"]


_PART = TypeAdapter(Part)


def read_cases(junit: Path) -> list[Case]:
    """Return the cases of a run."""
    # The file is our own, written a moment ago.
    suite = ElementTree.parse(junit).getroot().find("testsuite")  # noqa: S314
    if suite is None:
        raise SystemExit(f"cannot read {junit}: it holds no test suite")
    # A run that was interrupted leaves entries without a name for what was under way.
    return [_case(element) for element in suite.iter("testcase") if "name" in element.attrib]


def write_part(folder: Path, part: Part) -> None:
    """Keep what came of a part in *folder*."""
    (folder / f"{part.name}.json").write_bytes(_PART.dump_json(part, indent=1))


def written_parts(folder: Path, names: Iterable[str]) -> list[Part]:
    """Return what came of the parts that were run, in the order of *names*."""
    kept = [folder / f"{name}.json" for name in names]
    return [_PART.validate_json(path.read_bytes()) for path in kept if path.exists()]


def page(parts: Sequence[Part], meant: Mapping[str, Sequence[str]], machine: str) -> str:
    """Return the page on *parts*, of those that are *meant*, with what each runs (pure)."""
    cases = [case for part in parts for case in part.cases]
    count = Counter(case.result for case in cases)
    told = ", ".join(f"{number} {result}" for result, number in sorted(count.items(), key=lambda pair: -pair[1]))
    lines = [
        "# What `make test-full` proved",
        "",
        f"{_verdict(parts, meant)}: {told}. On {machine}.",
        "`make test-full` writes this page; nothing in it is written by hand. Each part names the day and the commit of its run.",
        "",
        "| Part | What it runs | Tests | Passed | Run on | At commit | Minutes | Load |",
        "|---|---|---|---|---|---|---|---|",
        *_parts(parts, meant),
        "",
        *_failures(parts),
        "## By room",
        "",
        "| Tests | Number | Passed | Seconds |",
        "|---|---|---|---|",
        *_rooms(cases),
        "",
        "## The longest matrices",
        "",
        "| What is shown | In | Cases | Passed | Seconds |",
        "|---|---|---|---|---|",
        *_longest(cases),
        "",
        "## Over the engines",
        "",
        "Each case ran on real engines; a cell has the seconds that it took where it passed. The host's engine is the column; an empty cell",
        "is a case that is not run there.",
    ]
    for file, rows in _matrices(cases).items():
        lines += [
            "",
            f"### [{file}](../{file})",
            "",
            f"| Case | {' | '.join(ENGINES)} |",
            f"|---|{'---|' * len(ENGINES)}",
        ]
        lines += [
            f"| {title} | {' | '.join(_cell(cells.get(engine)) for engine in ENGINES)} |"
            for title, cells in sorted(rows.items())
        ]
    return "\n".join(lines) + "\n"


def _case(element: ElementTree.Element) -> Case:
    name, _, parameters = element.attrib["name"].partition("[")
    parameters = parameters.removesuffix("]")
    found = _ENGINE.findall(parameters)
    words = name.removeprefix("test_").replace("_", " ")
    engine = _HOSTS.get(found[0], found[0]) if len(found) == 1 else ""
    rest = _ENGINE.sub("", parameters).strip("-") if engine else parameters
    return Case(
        file=element.attrib["classname"].replace(".", "/") + ".py",
        title=f"{words}: {rest}" if rest else words,
        engine=engine,
        result=_result(element),
        seconds=float(element.attrib["time"]),
    )


def _result(element: ElementTree.Element) -> str:
    if element.find("failure") is not None or element.find("error") is not None:
        return "failed"
    skipped = element.find("skipped")
    if skipped is None:
        return "passed"
    return "known to fail" if skipped.attrib.get("type") == "pytest.xfail" else "skipped"


def _verdict(parts: Sequence[Part], meant: Mapping[str, Sequence[str]]) -> str:
    if missing := [name for name in meant if name not in {part.name for part in parts}]:
        return f"**Not run: {', '.join(missing)}**"
    failed = [case for part in parts for case in part.failed]
    alone = [case for part in parts for case in part.failed if _alone(case, part.again) == "passed"]
    if not failed:
        return "No test failed"
    return f"**{len(failed)} failed, of which {len(alone)} passed when they ran again alone**"


def _parts(parts: Iterable[Part], meant: Mapping[str, Sequence[str]]) -> Iterable[str]:
    for part in parts:
        passed = sum(case.result == "passed" for case in part.cases)
        runs = ", ".join(meant[part.name])
        told = f"{len(part.cases)} | {passed} | {part.day} | {part.commit} | {part.minutes} | {part.load}"
        yield f"| {part.name} | {runs} | {told} |"


def _failures(parts: Iterable[Part]) -> Iterable[str]:
    """Return the section that names what failed, and how it ended alone; nothing where nothing failed."""
    rows = [
        f"| {case.title} | {case.file} | {case.engine} | {_alone(case, part.again)} |"
        for part in parts
        for case in part.failed
    ]
    if rows:
        yield from ("## What failed", "", "Each ran again alone, after the others of its part.", "")
        yield from ("| Test | In | Engine | Alone |", "|---|---|---|---|", *rows, "")


def _alone(case: Case, again: Iterable[Case]) -> str:
    same = (
        other.result
        for other in again
        if (other.file, other.title, other.engine) == (case.file, case.title, case.engine)
    )
    return next(same, "not run")


def _rooms(cases: Iterable[Case]) -> Iterable[str]:
    rooms: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        parts = case.file.split("/")
        rooms["/".join(parts[:2]) if len(parts) > 2 else "tests"].append(case)
    for room, mine in sorted(rooms.items()):
        passed = sum(case.result == "passed" for case in mine)
        yield f"| {room} | {len(mine)} | {passed} | {sum(case.seconds for case in mine):.0f} |"


def _longest(cases: Iterable[Case]) -> Iterable[str]:
    tests: dict[tuple[str, str], list[Case]] = defaultdict(list)
    for case in cases:
        tests[case.file, case.title.partition(":")[0]].append(case)
    for (file, title), mine in sorted(tests.items(), key=lambda pair: -len(pair[1])):
        if len(mine) >= FEWEST_CASES:
            passed = sum(case.result == "passed" for case in mine)
            yield f"| {title} | {file} | {len(mine)} | {passed} | {sum(case.seconds for case in mine):.0f} |"


def _matrices(cases: Iterable[Case]) -> Mapping[str, Mapping[str, Mapping[str, Case]]]:
    """Return file -> case -> engine -> what came of it, for the files whose cases run over several engines."""
    found: dict[str, dict[str, dict[str, Case]]] = defaultdict(lambda: defaultdict(dict))
    for case in cases:
        if case.engine:
            found[case.file][case.title][case.engine] = case
    return {
        file: rows
        for file, rows in sorted(found.items())
        if len(rows) >= FEWEST_ROWS and len({engine for cells in rows.values() for engine in cells}) > 1
    }


def _cell(case: Case | None) -> str:
    if case is None:
        return ""
    return f"{case.seconds:.1f}" if case.result == "passed" else f"**{case.result}**"
