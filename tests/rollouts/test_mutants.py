"""Each usual hole is caught, and by its own invariant: a test that kills no mutants proves nothing."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from fleet.rollouts import waves, windows
from fleet.rollouts.spec import RolloutSpec
from fleet.rollouts.windows import Window
from tests.rollouts import test_waves, test_windows
from tests.rollouts.mutants import MUTANTS, Mutant
from tests.rollouts.recount import Broken
from tests.rollouts.world import World

_EXAMPLES = 1500
_QUICK = {
    "a shut wave is no bar",
    "no soak",
    "no caps",
    "no total budget",
    "goes without another look",
    "no windows",
    "ignores freezes",
    "the dead decide",
    "never rests",
    "a host is lost",
    "the parked stay parked",
    "a timeout is success",
}
"""Those that are caught within some 30 lives; the others are looked for by make test-full."""


class Unhealed(World):
    """A world that is not healed at the end: what other invariants say is not drowned by what never ends."""

    def teardown(self) -> None:
        """Leave it as it is."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("mutant", [m for m in MUTANTS if m.name in _QUICK], ids=lambda m: f"{m.invariant}: {m.name}")
def test_a_usual_hole_is_caught_by_its_own_invariant(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    _caught(mutant, monkeypatch)


def _by_the_order_of_rows(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(waves, "order", lambda ids, seed, strata=None: list(range(len(ids))))


def _by_the_size_of_the_first_wave(patch: pytest.MonkeyPatch) -> None:
    """Hosts are shuffled anew for each wave, by how many it takes."""
    cut = waves.cut_columns

    def reseeded(spec: RolloutSpec, ids: Any, names: Any, labels: Any, seed: UUID) -> Any:
        size = spec.waves[0].size
        other = UUID(int=seed.int ^ (size if isinstance(size, int) else 0))
        return cut(spec, ids, names, labels, other)

    patch.setattr(waves, "cut_columns", reseeded)


def _as_long_as_the_clock_says(patch: pytest.MonkeyPatch) -> None:
    """A window ends at its wall-clock time, whatever the clock did meanwhile."""
    occurrences = windows.occurrences

    def by_the_clock(window: Window, zone: str, since: datetime, until: datetime) -> Any:
        there = ZoneInfo(window.zone)
        length = timedelta(milliseconds=window.duration_ms)
        found = occurrences(window, zone, since, until)
        return tuple((begin, (begin.astimezone(there) + length).astimezone(UTC)) for begin, _ in found)

    patch.setattr(test_windows, "occurrences", by_the_clock)


def _twice_where_the_clock_goes_back(patch: pytest.MonkeyPatch) -> None:
    occurrences = windows.occurrences

    def twice(window: Window, zone: str, since: datetime, until: datetime) -> Any:
        there = ZoneInfo(window.zone)
        found = list(occurrences(window, zone, since, until))
        for begin, end in tuple(found):
            again = begin.astimezone(there).replace(fold=1).astimezone(UTC)
            if again != begin:
                found.append((again, again + (end - begin)))
        return tuple(sorted(found))

    patch.setattr(test_windows, "occurrences", twice)


def _not_at_all_in_a_gap(patch: pytest.MonkeyPatch) -> None:
    opening = windows.opening

    def strict(on: date, at: time, zone: ZoneInfo) -> datetime | None:
        wall = datetime.combine(on, at, tzinfo=zone)
        there = wall.astimezone(UTC).astimezone(zone).replace(tzinfo=None) == wall.replace(tzinfo=None)
        return opening(on, at, zone) if there else None

    patch.setattr(test_windows, "opening", strict)


@pytest.mark.parametrize(
    ("seed", "judges"),
    [
        pytest.param(_by_the_order_of_rows, "plans", id="20: by the order of rows"),
        pytest.param(_by_the_size_of_the_first_wave, "plans", id="20: by the size of the first wave"),
        pytest.param(_as_long_as_the_clock_says, "windows", id="21: as long as the clock says"),
        pytest.param(_twice_where_the_clock_goes_back, "windows", id="21: twice where the clock goes back"),
        pytest.param(_not_at_all_in_a_gap, "windows", id="21: not at all in a gap"),
    ],
)
def test_a_hole_in_plans_or_windows_is_caught(
    seed: Callable[[pytest.MonkeyPatch], None], judges: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invariants 20 and 21 are judged by properties and a table of their own."""
    seed(monkeypatch)
    plans = test_waves.test_a_smaller_first_wave_is_a_part_of_a_larger_and_nothing_depends_on_the_order_of_rows
    with pytest.raises(AssertionError):
        if judges == "plans":
            plans()
        else:
            for row in test_windows._TABLE:
                test_windows.test_a_window_opens_by_the_clock_of_its_zone(row)


@pytest.mark.full
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    "mutant", [m for m in MUTANTS if m.name not in _QUICK], ids=lambda m: f"{m.invariant}: {m.name}"
)
def test_another_hole_is_caught_by_its_own_invariant(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    _caught(mutant, monkeypatch)


def _caught(mutant: Mutant, patch: pytest.MonkeyPatch) -> None:
    mutant.seed(patch)
    within = settings(
        max_examples=_EXAMPLES,
        stateful_step_count=40,
        deadline=None,
        phases=[Phase.generate],
        report_multiple_bugs=False,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    world = type("Directed", (World if mutant.invariant == 15 else Unhealed,), {"first": mutant.first})
    with pytest.raises(Broken) as caught:
        run_state_machine_as_test(world, settings=within)
    assert caught.value.number == mutant.invariant, str(caught.value)
