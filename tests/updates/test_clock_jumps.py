"""The host's clock is set by hours in the middle of an update: nothing is cut short, nothing waits, no figure is of hours."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from fleet.testing.clock import ManualClock
from fleet.testing.engine_faults import KillNow
from fleet.updates import run
from fleet.updates.outcome import Result
from tests.updates.meddled import Meddled
from tests.updates.site import SHAPES, Site

pytestmark = pytest.mark.usefixtures("quick_disk")
HOURS = [timedelta(hours=5), timedelta(hours=-5)]


class SetClock(ManualClock):
    """A clock whose wall time somebody sets; what has passed since the start of the machine goes on as before."""

    ahead = timedelta()

    def now(self) -> datetime:
        """Return what the wall clock shows."""
        return super().now() + self.ahead


@pytest.mark.parametrize("jump", HOURS)
@pytest.mark.parametrize(
    "shape", ["always, anonymous data", "unless-stopped, probed", "start first", "a new one that exits, with a kid"]
)
def test_set_at_any_call_it_changes_nothing(shape: str, jump: timedelta, tmp_path: Path) -> None:
    for at in range(200):
        clock = SetClock()
        site = Site(tmp_path / str(at), SHAPES[shape], clock=clock)
        began = clock.monotonic()

        def set_clock(_: Site, clock: SetClock = clock) -> None:
            clock.ahead = jump

        meddled = Meddled(site, lambda _, number, at=at: number == at, set_clock)  # type: ignore[misc]
        outcome = site.update()
        site.engine = meddled.itself
        assert outcome.result is (Result.UPDATED if site.shape.good else Result.ROLLED_BACK), f"{at}: {outcome.reason}"
        assert clock.monotonic() - began < 30
        assert (outcome.downtime_ms or 0) < 30_000
        site.assert_promise(outcome)
        if len(meddled.calls) <= at:
            return


@pytest.mark.parametrize("jump", HOURS)
def test_set_while_no_agent_ran_the_downtime_is_what_it_was(jump: timedelta, tmp_path: Path) -> None:
    clock = SetClock()
    site = Site(tmp_path, clock=clock)
    site.engine.fail("start", KillNow)
    with pytest.raises(KillNow):
        site.update()
    clock.ahead = jump
    clock.advance(7)
    outcome = site.live()
    assert outcome.result is Result.ROLLED_BACK
    assert outcome.downtime_ms is not None
    assert 7_000 <= outcome.downtime_ms < 10_000


def test_after_a_reboot_the_wall_clock_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The monotonic clock began anew, so it cannot."""
    clock = SetClock()
    site = Site(tmp_path, clock=clock)
    site.engine.fail("start", KillNow)
    with pytest.raises(KillNow):
        site.update()
    monkeypatch.setattr(run, "boot_id", lambda: "another")
    clock.ahead = timedelta(seconds=90)
    outcome = site.live()
    assert outcome.downtime_ms is not None
    assert 90_000 <= outcome.downtime_ms < 93_000
