"""Quiet hours of a channel (pure): when it is told only of what cannot wait. They are windows, as those of rollouts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pydantic import TypeAdapter

from fleet.errors import BadInput
from fleet.notify.events import Event, EventType
from fleet.notify.severity import Severity
from fleet.rollouts.windows import HOST_ZONE, Interval, Window, joined, occurrences, without
from fleet.rollouts.written import read_windows

MOST = 20
"""How many quiet hours a channel may have."""
_AHEAD = timedelta(days=15)
"""How far is looked for their end: a window comes again within a week, and lasts a week at most."""
_ADAPTER: TypeAdapter[tuple[Window, ...]] = TypeAdapter(tuple[Window, ...])


@dataclass(frozen=True, slots=True, kw_only=True)
class Quiet:
    """When a channel is left alone, and what is told all the same."""

    hours: tuple[Window, ...] = ()
    passes: Severity | None = Severity.ERROR
    """What is as urgent as this is told at once; None: nothing is."""

    @classmethod
    def parse(cls, hours: Any, passes: str | None) -> "Quiet":
        """Read what :meth:`document` wrote."""
        return cls(hours=_ADAPTER.validate_python(hours or ()), passes=Severity(passes) if passes else None)

    def document(self) -> list[dict[str, Any]]:
        """Return the hours as JSON holds them."""
        written: list[dict[str, Any]] = _ADAPTER.dump_python(self.hours, mode="json", exclude_defaults=True)
        return written

    def until(self, now: datetime) -> datetime | None:
        """Return when the quiet hours end that hold at *now*; None: none do."""
        return next((end for begin, end in self._spans(now) if begin <= now), None)

    def holds(self, event: Event) -> bool:
        """Tell whether *event* waits for their end; a test, which a person asked for, does not."""
        if event.type is EventType.TEST:
            return False
        return self.passes is None or not event.severity.at_least(self.passes)

    def check(self, now: datetime) -> None:
        """Raise BadInput where they never end."""
        if self.hours and not without([(now, now + _AHEAD)], self._spans(now)):
            raise BadInput("cannot use these quiet hours: they never end, and nothing would be told; make them shorter")

    def _spans(self, now: datetime) -> tuple[Interval, ...]:
        return joined(span for each in self.hours for span in occurrences(each, "UTC", now, now + _AHEAD))


def read_hours(written: Sequence[Any]) -> tuple[Window, ...]:
    """Read quiet hours as people write windows; raise BadInput that names what cannot be used."""
    if len(written) > MOST:
        raise BadInput(f"cannot use {len(written)} quiet hours; {MOST} are the most")
    found = read_windows(
        [{name: value for name, value in each.items() if value} for each in written], "the quiet hours"
    )
    for each in found:
        if each.zone == HOST_ZONE or each.cutoff_ms is not None:
            raise BadInput("cannot use tz: host or cutoff in quiet hours: they are nobody's but the channel's")
    return found
