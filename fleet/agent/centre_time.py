"""The centre's time as far as this host can prove it: what was signed last, and how long ago that was.

The host's own clock may be a day off, so it never judges a message. It only tells how much time passed while no agent
ran, so that what lay in the queue meanwhile does not look new; and even that guess is dropped once a message comes to
a queue that was empty, because such a message was signed just now.
"""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from fleet.clock import Clock
from fleet.updates.journal import write_atomically

EPOCH = datetime.fromtimestamp(0, UTC)
WRITE_EVERY_S = 60.0
"""How much later it must be for the proof to be written down again."""
FRESH_AFTER_S = 2.0
"""How long the queue must have been empty for a message to count as just signed."""
SKEW_S = 300.0
"""From how many seconds on the host's clock is called wrong."""


class CentreTime:
    """Tells what time it is at the centre, at least; belongs to the thread that reads messages."""

    def __init__(self, file: Path, clock: Clock) -> None:
        """Take up what an earlier agent had proved."""
        self._file, self._clock = file, clock
        self._began = self._at = clock.monotonic()
        self._proved, self._guess = _read(file, clock)
        self._written = self._proved
        self._empty_since: float | None = None
        self.skew_s: float | None = None
        """How far the host's clock is ahead of the centre's; None while no fresh message came."""

    def reading(self) -> None:
        """Note that the queue begins to be read: what lies there already comes at once."""
        self._empty_since = self._clock.monotonic()

    def done(self) -> None:
        """Note that a message is done with, and the next one is read."""
        if self._empty_since is not None:
            self._empty_since = self._clock.monotonic()

    def accepts(self, issued: datetime, expires: datetime) -> bool:
        """Take a proven message into account, and tell whether it still holds."""
        proved = self._proved_now()
        if self._is_fresh() and issued > self._proved:
            self._guess = EPOCH
            self.skew_s = (self._clock.now() - issued).total_seconds()
        holds = expires > self.now()
        if issued > proved:
            self._proved, self._at = issued, self._clock.monotonic()
        self._write()
        return holds

    def now(self) -> datetime:
        """Return the centre's time as far as it is known."""
        guess = self._guess + timedelta(seconds=self._clock.monotonic() - self._began)
        return max(self._proved_now(), guess)

    @property
    def skewed(self) -> str:
        """What is wrong with the host's clock, or empty."""
        if self.skew_s is None or abs(self.skew_s) < SKEW_S:
            return ""
        way = "ahead of" if self.skew_s > 0 else "behind"
        return (
            f"cannot rely on this host's clock: it is {abs(self.skew_s):.0f} s {way} the centre's;"
            " orders are judged by the centre's time, but set the clock (timedatectl set-ntp true)"
        )

    def _proved_now(self) -> datetime:
        return self._proved + timedelta(seconds=self._clock.monotonic() - self._at)

    def _is_fresh(self) -> bool:
        return self._empty_since is not None and self._clock.monotonic() - self._empty_since >= FRESH_AFTER_S

    def _write(self) -> None:
        proved = self._proved_now()
        if (proved - self._written).total_seconds() < WRITE_EVERY_S:
            return
        proof = {"proved": proved.isoformat(), "host_clock": self._clock.now().isoformat()}
        try:
            write_atomically(self._file, json.dumps(proof).encode())
        except OSError:
            return  # the next message tries again
        self._written = proved


def _read(file: Path, clock: Clock) -> tuple[datetime, datetime]:
    """Return what was proved last, and what time it should be now by what the host's clock says has passed."""
    try:
        proof = json.loads(file.read_bytes())
        proved, then = datetime.fromisoformat(proof["proved"]), datetime.fromisoformat(proof["host_clock"])
        return proved, proved + max(timedelta(), clock.now() - then)
    except (OSError, ValueError, KeyError, TypeError):
        return EPOCH, EPOCH
