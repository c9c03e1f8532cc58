"""How the tests are shared out among the processes of one run: file by file, the longest first.

What belongs to one file shares its servers and engines, so that one process takes it whole; a few files are so long that they
are cut where nothing is shared anyway. What takes minutes begins first: a process that began it last would be
alone with it at the end.
"""

import re
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

BY_ENGINE = ("tests/updates/test_zoo.py",)
"""Cut by the engine that a case runs on. The injection is not: it keeps many containers under update by itself."""
BY_CASE = ("tests/history/test_rollout_machine", "tests/rollouts/test_mutants.py")
"""Every case alone."""
LONGEST = (
    "tests/injection/test_injection.py",
    "tests/updates/test_zoo.py",
    "tests/scenarios/test_waves.py",
    "tests/updates/test_promise.py",
    "tests/rollouts/test_world.py",
    "tests/lab/test_fault_matrix.py",
    "tests/lab/test_demo.py",
    "tests/history/test_rollout_machine",
    "tests/rollouts/test_mutants.py",
    "tests/scenarios",
    "tests/lab",
    "tests/contracts/test_engines.py",
    "tests/agent/test_first_contact.py",
    "tests/agent/test_process.py",
    "tests/updates/test_kill.py",
    "tests/updates/test_faults.py",
    "tests/controller/test_two_centres.py",
    "tests/road/test_worker.py",
    "tests/contracts/test_engine_restart.py",
    "tests/updates/test_followers_on_engine.py",
    "tests/updates/test_own_on_engine.py",
    "tests/controller/test_processes.py",
)
"""Files and folders in the order in which they are begun; the rest, of which nothing takes a quarter of a minute, comes after them."""
_ENGINE = re.compile(r"\[(memory-[\d.]+|[\d.]+(?:-containerd)?)(?=[-\]])")


def unit_of(nodeid: str) -> str:
    """Return the name of what is taken as one piece with a test (pure)."""
    file, _, rest = nodeid.partition("::")
    if file.startswith(BY_CASE):
        return nodeid
    engine = _ENGINE.search(rest) if file in BY_ENGINE else None
    return f"{file} on {engine[1]}" if engine else file


def place_of(nodeid: str) -> int:
    """Return how early a test is begun, from 0 (pure)."""
    return next((place for place, start in enumerate(LONGEST) if nodeid.startswith(start)), len(LONGEST))


class Sharing(LoadScopeScheduling):  # type: ignore[misc] # the plugin has no types
    """Hands out units, in the order in which they were collected."""

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)


def scheduler(config: pytest.Config, log: Any) -> Sharing | None:
    """Return who shares out the tests of a run by files; None for any other way."""
    if config.getoption("dist") != "loadfile":
        return None
    config.option.loadscopereorder = False
    return Sharing(config, log)


def missing(root: Path) -> list[str]:
    """Return what is named here and not there any more."""
    named = {*BY_ENGINE, *BY_CASE, *LONGEST}
    return sorted(start for start in named if not list(root.glob(f"{start}*")))
