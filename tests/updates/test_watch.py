"""A pull is told of while it runs, and given up where it must be, with the reason."""

from collections.abc import Callable

import pytest

from fleet.errors import Refused, TimedOut
from fleet.testing.clock import ManualClock
from fleet.updates.watch import GRACE_S, Watch


class Pull:
    """A pull that ends after so many looks, each of which takes its time."""

    def __init__(self, looks: int) -> None:
        self.clock, self.looks = ManualClock(), looks
        self.told = 0
        self.waited: list[float] = []
        self.reasons: list[str] = []

    def ended(self, within_s: float) -> bool:
        """Wait, and tell whether it has ended."""
        self.clock.advance(within_s)
        self.waited.append(within_s)
        return len(self.waited) > self.looks

    def wait(self, within_s: float, stop: bool = False, doomed: Callable[[], str] = str) -> None:
        """Wait for it, so long at most."""

        def tell() -> None:
            self.told += 1

        until = self.clock.monotonic() + within_s
        watch = Watch(clock=self.clock, until=until, stop=lambda: stop, tell=tell)
        watch.wait(self.ended, self.reasons.append, doomed=doomed)


def test_it_is_told_of_at_each_look_and_at_its_end() -> None:
    pull = Pull(looks=3)
    pull.wait(60)
    assert (pull.told, pull.reasons) == (4, [])


def test_one_that_takes_too_long_is_given_up_and_has_a_moment_to_end() -> None:
    pull = Pull(looks=1_000_000)
    with pytest.raises(TimedOut, match=r"^cannot wait any longer"):
        pull.wait(5)
    assert pull.reasons == ["cannot wait any longer for the pull"]
    assert pull.waited[-1] == GRACE_S
    assert sum(pull.waited[:-1]) >= 5


@pytest.mark.parametrize(
    ("stop", "doomed", "reason"),
    [
        (True, str, "cannot go on with the pull: it was stopped"),
        (False, lambda: "cannot pull it: no source has it", "cannot pull it: no source has it"),
    ],
)
def test_one_that_nobody_wants_or_that_cannot_end_well_is_given_up_at_once(
    stop: bool, doomed: Callable[[], str], reason: str
) -> None:
    pull = Pull(looks=1_000_000)
    with pytest.raises(Refused, match=reason):
        pull.wait(60, stop, doomed)
    assert (pull.reasons, len(pull.waited)) == ([reason], 2)
