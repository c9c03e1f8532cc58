"""The promise, at every instant: whatever call or write goes wrong, and however, one of the two runs in the end."""

import itertools
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from fleet.errors import EngineUnreachable
from fleet.testing.engine_faults import KillNow, When
from fleet.updates.journal import Journal
from fleet.updates.outcome import Result
from tests.memory import memory
from tests.updates.site import SHAPES, Site, engine_says_no

pytestmark = pytest.mark.usefixtures("quick_disk")
ERRORS: dict[str, Callable[[], BaseException]] = {
    "says no": engine_says_no,
    "is unreachable": EngineUnreachable,
    "agent killed": KillNow,
}


ALWAYS = (
    "always, anonymous data",
    "unless-stopped, probed",
    "rm, slow to stop",
    "ports, static address",
    "files copied",
    "hooks before and after",
    "three that live with it, one of them at second hand",
    "a kid whose tag has moved since",
    "start first",
    "start first, a new one that exits",
    "a new one that exits",
    "rm, a new one that cannot start",
)
CHOSEN = [shape if shape in ALWAYS else pytest.param(shape, marks=pytest.mark.full) for shape in SHAPES]
"""Every shape, most of them as part of the long matrix."""


class FaultyJournal(Journal):
    """A journal that fails at its write number *at*, counted over all the agents of one site."""

    writes = 0
    at = -1
    when = When.BEFORE
    error: type[BaseException] = KillNow

    def _write(self, file: Path, content: bytes, what: str) -> None:
        cls = type(self)
        met, cls.writes = cls.writes == cls.at, cls.writes + 1
        if met and cls.when is When.BEFORE:
            raise cls.error(28, "No space left on device")
        super()._write(file, content, what)
        if met:
            raise cls.error(28, "No space left on device")


@cache
def calls_of(shape: str) -> int:
    """Return how many engine calls an update of *shape* takes when nothing else goes wrong."""
    with TemporaryDirectory(dir=memory()) as folder:
        site = Site(Path(folder), SHAPES[shape])
        site.live()
        return len(site.engine.calls)


@pytest.mark.parametrize("shape", SHAPES)
def test_each_shape_is_updated_or_brought_back(shape: str, tmp_path: Path) -> None:
    site = Site(tmp_path, SHAPES[shape])
    outcome = site.live()
    brought_back = Result.FAILED if shape.startswith("start first") else Result.ROLLED_BACK
    assert outcome.result is (Result.UPDATED if SHAPES[shape].good else brought_back), outcome.reason
    site.assert_promise(outcome)
    site.assert_tidy()
    site.assert_told_once(outcome)
    site.assert_outlives_a_reboot()


@pytest.mark.parametrize("when", When)
@pytest.mark.parametrize(("error", "reboot"), [*((error, False) for error in ERRORS), ("agent killed", True)])
@pytest.mark.parametrize("shape", CHOSEN)
def test_a_fault_at_any_engine_call_loses_nothing(
    shape: str, error: str, when: When, reboot: bool, tmp_path: Path
) -> None:
    """Every call in turn fails before its effect, after it, or with it still under way."""
    for number in range(calls_of(shape)):
        site = Site(tmp_path / str(number), SHAPES[shape])
        site.engine.fail("*", ERRORS[error], after=number, when=when)
        outcome = site.live(reboot=reboot)
        try:
            site.assert_promise(outcome)
            site.assert_tidy()
            site.assert_told_once(outcome)
            if error == "agent killed":
                assert site.deaths <= 1
        except AssertionError as wrong:
            raise AssertionError(f"call {number}: {[c.name for c in site.engine.calls][: number + 1]}") from wrong


@pytest.mark.parametrize("when", When)
@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape.startswith("start first")])
def test_with_start_first_one_runs_at_every_instant_wherever_the_agent_dies(
    shape: str, when: When, tmp_path: Path
) -> None:
    """Its own mistakes and deaths cost no downtime; a stop that was under way when it died may, on the way back alone."""
    for number in range(calls_of(shape)):
        site = Site(tmp_path / str(number), SHAPES[shape])
        site.watch_for_gaps()
        site.engine.fail("*", KillNow, after=number, when=when)
        outcome = site.live()
        assert site.gaps == [], f"call {number}: {[c.name for c in site.engine.calls]}"
        assert outcome.result in (Result.UPDATED, Result.FAILED), outcome
        site.assert_promise(outcome)


@pytest.mark.parametrize("when", [When.BEFORE, When.AFTER])
@pytest.mark.parametrize(("error", "reboot"), [(OSError, False), (KillNow, False), (KillNow, True)])
@pytest.mark.parametrize("shape", CHOSEN)
def test_a_fault_at_any_journal_write_loses_nothing(
    shape: str, error: type[BaseException], when: When, reboot: bool, tmp_path: Path
) -> None:
    for number in itertools.count():
        journal: type[FaultyJournal] = type("OneFault", (FaultyJournal,), {"at": number, "when": when, "error": error})
        site = Site(tmp_path / str(number), SHAPES[shape], journal=journal)
        outcome = site.live(reboot=reboot)
        try:
            site.assert_promise(outcome)
            site.assert_tidy()
            if number < journal.writes:
                site.open = Journal
            site.assert_told_once(outcome)
        except AssertionError as wrong:
            raise AssertionError(f"write {number}") from wrong
        if journal.writes <= number:
            return


@pytest.mark.parametrize("shape", ["the old image goes", "files copied", "plain"])
def test_an_engine_that_is_away_and_then_says_no_loses_nothing(shape: str, tmp_path: Path) -> None:
    """Once the old container is gone, and its image too, a single refusal must not lead the way back."""
    for number in range(calls_of(shape)):
        site = Site(tmp_path / str(number), SHAPES[shape])
        site.engine.fail("*", EngineUnreachable, after=number, when=When.AFTER)
        site.engine.fail("*", engine_says_no, after=number + 1)
        outcome = site.live()
        try:
            site.assert_promise(outcome)
            site.assert_tidy()
            site.assert_told_once(outcome)
        except AssertionError as wrong:
            raise AssertionError(f"calls {number} and {number + 1}") from wrong


def _pairs(count: int) -> Iterator[tuple[int, int]]:
    return ((first, second) for first in range(count) for second in range(0, 12, 3))


@pytest.mark.parametrize("shape", ["always, anonymous data", "rm, anonymous data", "a new one that exits"])
def test_an_agent_killed_again_while_it_recovers_loses_nothing(shape: str, tmp_path: Path) -> None:
    for first, second in _pairs(calls_of(shape)):
        site = Site(tmp_path / f"{first}-{second}", SHAPES[shape])
        site.engine.fail("*", KillNow, after=first, when=When.AFTER)
        site.engine.fail("*", KillNow, after=first + 1 + second, when=When.LATE)
        outcome = site.live()
        site.engine.heal()
        try:
            site.assert_promise(outcome)
            site.assert_tidy()
            site.assert_told_once(outcome)
        except AssertionError as wrong:
            raise AssertionError(f"calls {first} and {first + 1 + second}") from wrong
