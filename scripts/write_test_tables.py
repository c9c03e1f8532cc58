"""Write docs/test-full.md: what a run of ``make test-full`` proved, as tables, from the JUnit file that pytest leaves.

Usage: write_test_tables.py JUNIT_XML COMMIT [JUNIT_XML_OF_THE_FAILED_RUN_AGAIN]. A run with a failure is written down as well,
and says so in its first line; what failed and then passed when it ran again, alone, is named.
"""

import os
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from xml.etree import ElementTree

PAGE = Path(__file__).parent.parent / "docs" / "test-full.md"
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


def read(junit: Path) -> tuple[list[Case], datetime, float]:
    """Return the cases of a run, when it began, and how many seconds it took."""
    # The file is our own, written a moment ago.
    suite = ElementTree.parse(junit).getroot().find("testsuite")  # noqa: S314
    if suite is None:
        raise SystemExit(f"cannot read {junit}: it holds no test suite")
    # A run that was interrupted leaves entries without a name for what was under way.
    cases = [_case(element) for element in suite.iter("testcase") if "name" in element.attrib]
    return cases, datetime.fromisoformat(suite.attrib["timestamp"]), float(suite.attrib["time"])


def page(
    cases: list[Case], began: datetime, took_s: float, commit: str, machine: str, again: Iterable[Case] = ()
) -> str:
    """Return the page (pure); *again* is how those that failed ended when they ran a second time, alone."""
    count = Counter(case.result for case in cases)
    told = ", ".join(f"{number} {result}" for result, number in sorted(count.items(), key=lambda pair: -pair[1]))
    verdict = (
        "Every test passed"
        if set(count) == {"passed"}
        else "**Not every test passed**"
        if count["failed"]
        else "No test failed"
    )
    lines = [
        "# What `make test-full` proved",
        "",
        f"{verdict}: {told}. Run on {began:%Y-%m-%d} at commit {commit}, {machine}; the tests took {took_s / 60:.0f} minutes.",
        "`make test-full` writes this page anew; nothing in it is written by hand.",
        "",
        *_failures(cases, again),
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


def _failures(cases: Iterable[Case], again: Iterable[Case]) -> Iterable[str]:
    """Return the section that names what failed, and how it ended alone; nothing where nothing failed."""
    failed = [case for case in cases if case.result == "failed"]
    if not failed:
        return
    second = {(case.file, case.title, case.engine): case.result for case in again}
    yield from ("## What failed", "", "Each ran again alone, after all others.", "")
    yield from ("| Test | In | Engine | Alone |", "|---|---|---|---|")
    for case in failed:
        alone = second.get((case.file, case.title, case.engine), "not run")
        yield f"| {case.title} | {case.file} | {case.engine} | {alone} |"
    yield ""


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


def _machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, Linux {os.uname().release.split('-')[0]}"


if __name__ == "__main__":
    second = [case for junit in sys.argv[3:] if Path(junit).exists() for case in read(Path(junit))[0]]
    PAGE.write_text(page(*read(Path(sys.argv[1])), sys.argv[2], _machine(), second))
