"""A thread reads and writes, another one follows it, and the event loop hears of both now and then."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import cast

import pytest

from fleet.clock import Clock, SystemClock
from fleet.gateway import pour
from fleet.gateway.gauge import Gauge
from fleet.gateway.limits import Limits
from fleet.gateway.pour import NEWS_BYTES, Pouring
from fleet.gateway.verdict import SourceFailed
from fleet.registry.faults import ExchangeFailed, Failure
from fleet.registry.rest import Rest
from fleet.testing.clock import ManualClock

LONG = 4 * NEWS_BYTES + 1000
_MEBIBYTE = 1024 * 1024


class Cistern:
    """A basin whose follower takes note of how far it was told to go."""

    def __init__(self) -> None:
        self.size, self.followed = 0, 0
        self.far = threading.Event()
        """Set once it follows beyond the first news."""

    def pour(self, chunk: memoryview, at: int) -> None:
        """Write nothing."""

    def poured(self, count: int, source: str) -> None:
        """Count."""
        self.size += count

    @property
    def follows(self) -> bool:
        """It does."""
        return True

    def follow(self, written: Callable[[int], int]) -> None:
        """Go as far as there is something."""
        while (end := written(self.followed)) > self.followed:
            self.followed = end
            self.far.set()


class Body:
    """The rest of a body that comes in quarters of a mebibyte, each when ``gate`` lets it."""

    def __init__(self, size: int, gate: Callable[[int], None] = lambda _: None) -> None:
        self.left, self._gate = size, gate

    def read_into(self, room: memoryview, wait_s: float) -> int:
        """Give what there is room for."""
        self._gate(self.left)
        count = min(len(room), self.left)
        self.left -= count
        return count


@pytest.fixture
def long_visits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let a thread stay longer than any test takes."""
    monkeypatch.setattr(pour, "GULP_S", 60.0)
    yield


def pouring(
    body: Body,
    cistern: Cistern,
    *,
    flowing: Callable[[float], bool] | None = None,
    clock: Clock | None = None,
    another: bool = False,
) -> Pouring:
    """Return a body on its way into a cistern; *another*: whether there is another source of it."""
    clock = clock or SystemClock()
    gauge = Gauge(
        clock=clock,
        limits=Limits(),
        size=0,
        began_at=clock.monotonic(),
        another=lambda: another,
        flowing=flowing,
    )
    return Pouring(
        rest=cast(Rest, body), basin=cistern, source="https://m.example", gauge=gauge, clock=clock, silence_s=10.0
    )


@pytest.mark.usefixtures("long_visits")
def test_whoever_follows_hears_of_what_is_written_before_the_visit_ends() -> None:
    cistern, seen = Cistern(), []

    def gate(left: int) -> None:
        if left < LONG - 2 * NEWS_BYTES:
            # Nothing more comes until the first is followed; were it followed later, that would never be.
            seen.append(cistern.far.wait(30))

    asyncio.run(pouring(Body(LONG, gate), cistern).run(LONG))
    assert seen
    assert all(seen)
    assert cistern.size == LONG
    assert NEWS_BYTES <= cistern.followed <= LONG


class Sluggish(Cistern):
    """A basin on a disk that takes its time for each write."""

    def __init__(self, clock: ManualClock, write_s: float) -> None:
        super().__init__()
        self._clock, self._write_s = clock, write_s

    def pour(self, chunk: memoryview, at: int) -> None:
        """Take long."""
        self._clock.advance(self._write_s)


@pytest.mark.parametrize("slow", ["disk", "source"])
def test_no_source_is_left_for_the_slowness_of_the_disk(slow: str) -> None:
    """A worn card stops for seconds at times; whoever sends meanwhile is none the slower, and the next one were no faster."""
    clock = ManualClock()
    cistern = Sluggish(clock, 10.0 if slow == "disk" else 0.0)
    body = Body(LONG, lambda _: None if slow == "disk" else clock.advance(10.0))
    going = pouring(body, cistern, clock=clock, another=True).run(LONG)
    if slow == "disk":
        asyncio.run(going)
        assert cistern.size == LONG
    else:
        with pytest.raises(SourceFailed, match="slower than the floor"):
            asyncio.run(going)


@pytest.mark.usefixtures("long_visits")
def test_whoever_follows_is_not_left_waiting_where_a_body_breaks_off() -> None:
    cistern = Cistern()

    def gate(left: int) -> None:
        if left < LONG - 2 * NEWS_BYTES:
            raise ExchangeFailed("cannot go on reading it: it was cut off", failure=Failure.CUT)

    with pytest.raises(ExchangeFailed, match="cut off"):
        asyncio.run(asyncio.wait_for(pouring(Body(LONG, gate), cistern).run(LONG), 30))
    assert 2 * NEWS_BYTES <= cistern.size < 3 * NEWS_BYTES


@pytest.mark.usefixtures("long_visits")
def test_a_young_connection_is_looked_at_soon_and_an_old_one_when_its_thread_comes_back() -> None:
    """After half a mebibyte, one more, two more and four more: from then on a visit is as long as it takes."""
    cistern, looks = Cistern(), []

    def flowing(_: float) -> bool:
        looks.append(cistern.size)
        return False

    asyncio.run(pouring(Body(30 * _MEBIBYTE), cistern, flowing=flowing).run(30 * _MEBIBYTE))
    assert looks == [_MEBIBYTE // 2, 3 * _MEBIBYTE // 2, 7 * _MEBIBYTE // 2, 30 * _MEBIBYTE]


@pytest.mark.parametrize(("wanted", "there"), [(_MEBIBYTE, 3 * _MEBIBYTE), (3 * _MEBIBYTE, _MEBIBYTE)])
def test_it_ends_where_the_piece_does_or_the_body(wanted: int, there: int) -> None:
    """What comes behind the piece may be fetched by others; whether a body was whole is for whoever asked for it."""
    cistern, body = Cistern(), Body(there)
    asyncio.run(asyncio.wait_for(pouring(body, cistern).run(wanted), 30))
    assert cistern.size == min(wanted, there)
    assert body.left == there - cistern.size
