"""Run every test, every engine generation and every long matrix, part by part, and write docs/test-full.md.

Usage: test_full.py JOBS [PART ...]. What came of a part stands in dist/test-full, and the page is written anew from all that is
there after each of them: parts may be run one by one, over hours in which a machine is quiet. What fails runs again, alone,
and the page names it. Exit code 1 where a test failed, or where a part was never run.
"""

import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from write_test_tables import Part, page, read_cases, write_part, written_parts

ROOT = Path(__file__).parent.parent
PAGE, KEPT = ROOT / "docs" / "test-full.md", ROOT / "dist" / "test-full"
PARTS: dict[str, tuple[str, ...]] = {
    "shapes": ("tests/updates/test_zoo.py",),
    "injection": ("tests/injection",),
    "faults": ("tests/lab/test_fault_matrix.py",),
    "lives": (
        "tests/updates/test_promise.py",
        "tests/rollouts/test_world.py",
        "tests/rollouts/test_mutants.py",
        "tests/history/test_rollout_machine.py",
    ),
    "scenarios": ("tests/scenarios",),
    "lab": ("tests/lab",),
    "rooms": ("tests",),
}
"""What each part runs: its files and folders, but for those that a part before it names."""


def arguments(name: str) -> list[str]:
    """Return what pytest is told of part *name* (pure)."""
    mine = PARTS[name]
    before = [path for part in list(PARTS)[: list(PARTS).index(name)] for path in PARTS[part]]
    inside = [path for path in before if path.startswith(tuple(f"{folder}/" for folder in mine))]
    return [
        *mine,
        *(f"--ignore={path}" for path in inside),
        "-m",
        "not nightly",
        "-o",
        f"cache_dir={KEPT / name}",
        "-o",
        "junit_family=xunit1",
    ]


def run(name: str, jobs: str) -> Part:
    """Run part *name* by *jobs* processes, what failed once more alone, and return what came of it."""
    began = time.monotonic()
    junit, again = KEPT / f"{name}.xml", KEPT / f"{name}-again.xml"
    for old in (junit, again):
        old.unlink(missing_ok=True)
    told = arguments(name)
    failed = pytest("-n", jobs, "--dist", "loadfile", "--durations=25", f"--junitxml={junit}", *told)
    if failed:
        pytest("--last-failed", "--last-failed-no-failures=none", f"--junitxml={again}", *told)
    return Part(
        name=name,
        commit=commit(),
        day=f"{datetime.now(UTC):%Y-%m-%d}",
        minutes=round((time.monotonic() - began) / 60, 1),
        load=round(os.getloadavg()[2], 1),
        cases=read_cases(junit),
        again=read_cases(again) if again.exists() else (),
    )


def pytest(*told: str) -> int:
    """Run pytest here, and return its exit code."""
    return subprocess.run([sys.executable, "-m", "pytest", *told], cwd=ROOT, check=False).returncode


def commit() -> str:
    """Return the name of the commit that is checked out, with a word where files other than the page differ from it."""
    name = git("rev-parse", "--short", "HEAD")
    return f"{name}-dirty" if git("status", "--porcelain", "-uno", "--", ".", f":!{PAGE.relative_to(ROOT)}") else name


def git(*told: str) -> str:
    """Return what git says here."""
    return subprocess.run(["git", *told], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


def machine() -> str:
    """Return what this machine is, in a few words."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, Linux {os.uname().release.split('-')[0]}"


def main(jobs: str, *names: str) -> int:
    """Run the named parts, or all, and write the page."""
    if strange := sorted(set(names) - set(PARTS)):
        raise SystemExit(f"cannot run {', '.join(strange)}: the parts are {', '.join(PARTS)}")
    KEPT.mkdir(parents=True, exist_ok=True)
    for name in names or PARTS:
        write_part(KEPT, run(name, jobs))
        PAGE.write_text(page(written_parts(KEPT, PARTS), PARTS, machine()))
    parts = written_parts(KEPT, PARTS)
    return int(len(parts) < len(PARTS) or any(part.failed for part in parts))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
