"""A host whose clock is a day off works, and says so."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import needs
from tests.lab.images import Recipe
from tests.lab.machines import eventually
from tests.scenarios.small_fleet import PATIENCE_S, SmallFleet

DAY_S = 86_400
_LIBRARIES = ("/usr/lib/*/faketime/libfaketime.so.1", "/usr/lib/faketime/libfaketime.so.1")


def libfaketime() -> Path:
    """Return the library that gives one process another clock."""
    found = [path for pattern in _LIBRARIES for path in Path("/").glob(pattern.lstrip("/"))]
    return found[0] if found else Path(needs.missing("libfaketime", "scripts/install-engines packages"))


@pytest.fixture(params=[1, pytest.param(-1, marks=pytest.mark.full)], ids=["ahead", "behind"])
def days(request: pytest.FixtureRequest, fleet: SmallFleet) -> Iterator[int]:
    """Let the clock of oak's agent be so many days off."""
    days = int(request.param)
    clock = {"LD_PRELOAD": str(libfaketime()), "FAKETIME": f"{days:+d}d", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    fleet.kill_agent(fleet.oak)
    fleet.start_agent(fleet.oak, **clock)
    yield days
    fleet.kill_agent(fleet.oak)
    fleet.start_agent(fleet.oak)


def test_a_day_off(days: int, fleet: SmallFleet) -> None:
    app = fleet.take(fleet.oak)
    app.push(Recipe(version="2", shares=app.name))
    assert app.update() == "completed"
    app.assert_updated_once("2")

    def skew_s() -> float:
        return float(fleet.centre.ask("host", "show", "oak")["host"]["skew_ms"] or 0) / 1000

    eventually("a clock a day off", lambda: abs(skew_s() - days * DAY_S) < 60, within_s=PATIENCE_S, every_s=0.5)
    way = "ahead" if days > 0 else "behind"

    def shown() -> str:
        return fleet.centre.fleet("host", "show", "oak")

    eventually("its own word", lambda: "cannot rely on this host's clock" in shown(), within_s=PATIENCE_S, every_s=0.5)
    assert f"clock:    {'+' if days > 0 else '-'}86" in shown()
    assert f"s {'ahead of' if days > 0 else way} the centre's" in shown()
    told = fleet.centre.fleet("doctor", check=False)
    assert re.search(rf"oak: the clock of oak is 14(39|40|41) minutes {way}", told), told
