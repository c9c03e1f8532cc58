"""Each step of an update is written down before it is taken, in the order that the journal promises."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from fleet.testing.engine import Call
from fleet.updates.command import Policy, UpdateOrder, VerifyPolicy
from fleet.updates.journal import Journal
from fleet.updates.outcome import Result
from tests.updates.site import SHAPES, Shape, Site

pytestmark = pytest.mark.usefixtures("quick_disk")
ACTS = ("create", "execute", "set_restart_policy", "stop", "rename", "start", "remove")
"""Calls that change something."""
HOOKED = SHAPES["hooks before and after"]
START_FIRST = Policy(verify=VerifyPolicy(settle_ms=1_000), hooks=True, order=UpdateOrder.START_FIRST)


def lived(folder: Path, shape: Shape) -> list[str]:
    """Update a container of *shape*; return what was written down (``=STAGE``) and what was done, in its order."""
    writes: list[tuple[int, str]] = []

    def noted(what: str) -> None:
        writes.append((len(site.engine.calls), f"={what.removeprefix('update:')}"))

    site = Site(folder, shape, journal=lambda path: Journal(path, after_write=noted))
    assert site.update().result is Result.UPDATED
    done = list(enumerate(site.engine.calls))
    return [what for _, what in sorted([*writes, *_acts(done)], key=lambda row: row[0])]


def _acts(calls: Sequence[tuple[int, Call]]) -> list[tuple[float, str]]:
    return [(number + 0.5, call.name) for number, call in calls if call.name in ACTS]


def test_stopped_first(tmp_path: Path) -> None:
    assert lived(tmp_path, HOOKED) == [
        *("=create", "create", "=hook", "execute", "=release", "set_restart_policy", "=stop", "stop"),
        *("=swap", "rename", "rename", "=start", "start", "=verify", "=remove", "execute", "remove", "=done"),
    ]


def test_started_first(tmp_path: Path) -> None:
    assert lived(tmp_path, replace(HOOKED, policy=START_FIRST)) == [
        *("=create", "create", "=hook", "execute", "=start", "start", "=verify", "=release", "set_restart_policy"),
        *("=swap", "rename", "rename", "=remove", "execute", "stop", "remove", "=done"),
    ]
