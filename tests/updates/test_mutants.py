"""The property of the promise is worth something: each of these seeded mistakes breaks it."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings

from fleet.engine import spec
from fleet.updates import execute, recreate, rollback
from fleet.updates.journal import Journal
from tests.updates.test_promise import everything, live_through

SEEDS, TRIED = 60, 50
"""The most seeds, and the sequences of each: the first of a seed are the ones that differ most. The rarest mistake shows where
an agent dies just after its last but one step, and a reboot follows.
"""


def nothing(*_: Any, **__: Any) -> Any:
    """Do nothing, where something should be done."""


def empty(*_: Any, **__: Any) -> Any:
    """Say that all is well."""
    return ""


MUTANTS: dict[str, tuple[object, str, Callable[..., Any]]] = {
    "the new one is never verified": (recreate, "verify", empty),
    "the old one is never removed": (execute, "finish", empty),
    "names are not given back": (rollback, "name_old", nothing),
    "the restart policy is not given back": (rollback, "hold_old", nothing),
    "the new one is left where it failed": (rollback, "remove_new", nothing),
    "the old one is not started again": (rollback, "start_old", nothing),
    "what stands in the way back is not looked for twice": (execute, "_start_verified", empty),
    "anonymous volumes are forgotten": (spec, "carried_binds", lambda *_: []),
    "who lives with it is not brought back": (rollback, "bring_followers_back", nothing),
    "the new ones of those who live with it are left": (rollback, "remove_new_followers", nothing),
    "loose files are forgotten": (recreate, "copy_loose", nothing),
    "nothing is written down": (Journal, "_write", nothing),
}


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_seeded_mistake_is_found(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, name, instead = MUTANTS[mutant]
    monkeypatch.setattr(owner, name, instead)
    search = settings(
        max_examples=TRIED,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )

    def judged(shape: Any, faults: Any, reboot: bool) -> None:
        live_through(shape, faults, reboot)

    with pytest.raises(Exception):  # noqa: B017 - a mistake may show in any way
        for number in range(SEEDS):
            made: Any = seed(number)(search(everything(judged)))
            made()
