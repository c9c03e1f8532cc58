"""The centre's time: proved by what it signed, carried on by what passed, and never by this host's clock alone."""

from datetime import timedelta
from pathlib import Path

import pytest

from fleet.agent.centre_time import EPOCH, CentreTime
from fleet.testing.clock import ManualClock

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


class HostClock(ManualClock):
    """A host's clock, which somebody may set."""

    off = timedelta()

    def now(self):  # type: ignore[no-untyped-def]
        """Return the time as this host believes it."""
        return super().now() + self.off


@pytest.fixture
def host() -> HostClock:
    """Return a right clock."""
    return HostClock()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return where the proof is kept."""
    return tmp_path / "centre-time.json"


def centre(host: HostClock, *, ago: timedelta = timedelta()):  # type: ignore[no-untyped-def]
    """Return what the centre signs into a message of *ago*: when, and until when it holds."""
    now = ManualClock.now(host) - ago
    return now, now + HOUR


def reads(time: CentreTime, host: HostClock) -> None:
    """Begin to read a queue that is empty, and go on for a while."""
    time.reading()
    host.advance(60)


def test_the_first_message_proves_its_own_time(host: HostClock, file: Path) -> None:
    time = CentreTime(file, host)
    assert time.now() < EPOCH + HOUR
    assert time.accepts(*centre(host, ago=DAY))
    assert time.now() == ManualClock.now(host) - DAY


@pytest.mark.parametrize("off", [DAY, -DAY, timedelta(days=4000)])
def test_a_host_whose_clock_is_off_takes_messages_and_says_so(host: HostClock, file: Path, off: timedelta) -> None:
    host.off = off
    time = CentreTime(file, host)
    reads(time, host)
    assert time.accepts(*centre(host))
    assert time.skewed.startswith("cannot rely on this host's clock")
    time.done()
    host.advance(60)
    assert time.accepts(*centre(host))


def test_a_right_clock_is_no_problem(host: HostClock, file: Path) -> None:
    time = CentreTime(file, host)
    reads(time, host)
    assert time.accepts(*centre(host))
    assert time.skewed == ""


def test_an_old_message_expires_by_what_was_signed_since(host: HostClock, file: Path) -> None:
    time = CentreTime(file, host)
    old = centre(host)
    host.advance(7200)
    assert time.accepts(*centre(host))
    assert not time.accepts(*old)


def test_an_old_message_expires_by_what_passed_since(host: HostClock, file: Path) -> None:
    time = CentreTime(file, host)
    old = centre(host)
    assert time.accepts(*old)
    host.advance(3601)
    assert not time.accepts(*old)


def test_what_lay_in_the_queue_while_no_agent_ran_is_not_taken_for_new(host: HostClock, file: Path) -> None:
    """A go of five hours ago must not be carried out in the middle of the day, even where the clock is wrong."""
    host.off = DAY
    assert CentreTime(file, host).accepts(*centre(host))
    host.advance(60)
    forgotten_offer, forgotten_go = centre(host), centre(host, ago=timedelta(seconds=1))
    host.advance(5 * 3600)
    again = CentreTime(file, host)
    again.reading()
    assert not again.accepts(*forgotten_offer)
    again.done()
    assert not again.accepts(*forgotten_go)
    again.done()
    assert again.accepts(*centre(host))


def test_a_clock_that_was_set_while_no_agent_ran_keeps_no_message_out(host: HostClock, file: Path) -> None:
    """The guess of what passed was wrong then; the first message that comes to an empty queue shows it."""
    host.off = -DAY
    assert CentreTime(file, host).accepts(*centre(host))
    host.off = timedelta()
    host.advance(60)
    again = CentreTime(file, host)
    reads(again, host)
    assert again.now() > ManualClock.now(host) + HOUR
    assert again.accepts(*centre(host))
    assert again.now() == ManualClock.now(host)


def test_a_held_back_message_is_not_made_new_by_an_empty_queue(host: HostClock, file: Path) -> None:
    time = CentreTime(file, host)
    held_back = centre(host)
    host.advance(2 * 3600)
    assert time.accepts(*centre(host))
    time.reading()
    host.advance(60)
    assert not time.accepts(*held_back)
    assert time.skew_s is None


def test_what_comes_right_after_another_message_says_nothing_of_the_hosts_clock(host: HostClock, file: Path) -> None:
    """It may have waited behind that; and so may all where nobody says that the queue is read."""
    time = CentreTime(file, host)
    time.done()
    host.advance(60)
    assert time.accepts(*centre(host, ago=DAY))
    assert time.skew_s is None
    time.reading()
    host.advance(1)
    assert time.accepts(*centre(host, ago=HOUR))
    time.done()
    host.advance(1.5)
    assert time.accepts(*centre(host, ago=HOUR))
    assert time.skew_s is None
    time.done()
    host.advance(60)
    assert time.accepts(*centre(host))
    assert time.skew_s == 0


def test_what_an_earlier_agent_proved_goes_on_with_the_time(host: HostClock, file: Path) -> None:
    assert CentreTime(file, host).accepts(*centre(host))
    host.advance(3600)
    again = CentreTime(file, host)
    assert again.now() == ManualClock.now(host)
    host.advance(100)
    assert again.now() == ManualClock.now(host)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"proved": "yesterday", "host_clock": 7}', '{"proved": 1}'])
def test_a_damaged_proof_is_no_proof(host: HostClock, file: Path, text: str) -> None:
    file.write_text(text)
    assert CentreTime(file, host).now() == EPOCH


def test_the_proof_is_not_written_with_every_message(host: HostClock, file: Path) -> None:
    time = CentreTime(file, host)
    assert time.accepts(*centre(host))
    written = file.read_text()
    host.advance(30)
    assert time.accepts(*centre(host))
    assert file.read_text() == written
    host.advance(60)
    assert time.accepts(*centre(host))
    assert file.read_text() != written
