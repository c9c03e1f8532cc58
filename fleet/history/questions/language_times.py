"""Times as people write them in a query, kept as written: ``2h``, ``yesterday``, ``2026-11-25T08:00[Europe/Paris]``."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from fleet.errors import BadInput

_UNITS = {"w": 7 * 86400, "d": 86400, "h": 3600, "m": 60, "s": 1}
_AGO = re.compile(r"(?:\d{1,6}[wdhms])+")
_PART = re.compile(r"(\d+)([wdhms])")
_ZONED = re.compile(r"(?P<time>[^\[\]]+)(?:\[(?P<zone>[A-Za-z0-9_+/-]{1,64})\])?")
_DAYS = {"today": 0, "yesterday": 1}
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_EXPECTED = (
    "expected something like 2h, yesterday, friday, 2026-11-25, 2026-11-25T08:00Z or 2026-11-25T08:00[Europe/Paris]"
)
_LONGEST_S = 100 * 366 * 86400
"""The furthest that a relative time reaches back, in seconds."""
_YEARS = range(1971, 9999)
"""Years whose instants every database and every zone can hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ago:
    """So long before the moment of asking; 0 is ``now``."""

    seconds: int

    def at(self, now: datetime, zone: tzinfo) -> datetime:
        """Return the instant."""
        return now - timedelta(seconds=self.seconds)

    def __str__(self) -> str:
        """Return ``1h30m``, or ``now``."""
        left, text = self.seconds, ""
        for unit in "dhms":
            count, left = divmod(left, _UNITS[unit])
            text += f"{count}{unit}" if count else ""
        return text or "now"


@dataclass(frozen=True, slots=True, kw_only=True)
class Instant:
    """An instant whose offset was written."""

    moment: datetime

    def at(self, now: datetime, zone: tzinfo) -> datetime:
        """Return the instant."""
        return self.moment.astimezone(UTC)

    def __str__(self) -> str:
        """Return it as RFC 3339 does."""
        return self.moment.isoformat()


@dataclass(frozen=True, slots=True, kw_only=True)
class Local:
    """What a clock on a wall shows: in the zone that was written, else in that of whoever asks."""

    wall: datetime
    """Without a zone; a date alone is its midnight."""
    zone: str = ""

    def at(self, now: datetime, zone: tzinfo) -> datetime:
        """Return the instant; of two, the earlier."""
        return self.wall.replace(tzinfo=ZoneInfo(self.zone) if self.zone else zone).astimezone(UTC)

    def __str__(self) -> str:
        """Return the date, or date and time, with its zone in brackets."""
        midnight = (self.wall.hour, self.wall.minute, self.wall.second, self.wall.microsecond) == (0, 0, 0, 0)
        return (self.wall.date().isoformat() if midnight else self.wall.isoformat()) + _bracket(self.zone)


@dataclass(frozen=True, slots=True, kw_only=True)
class DayStart:
    """The midnight with which today, or a day before it, begins."""

    back: int
    """0: today, 1: yesterday."""
    zone: str = ""

    def at(self, now: datetime, zone: tzinfo) -> datetime:
        """Return the instant."""
        where = ZoneInfo(self.zone) if self.zone else zone
        day = now.astimezone(where).date() - timedelta(days=self.back)
        return datetime(day.year, day.month, day.day, tzinfo=where).astimezone(UTC)

    def __str__(self) -> str:
        """Return the word, with its zone in brackets."""
        return next(word for word, back in _DAYS.items() if back == self.back) + _bracket(self.zone)


@dataclass(frozen=True, slots=True, kw_only=True)
class WeekdayStart:
    """The midnight with which the last day of this name began; on that day itself, its own."""

    weekday: int
    """0: Monday."""
    zone: str = ""

    def at(self, now: datetime, zone: tzinfo) -> datetime:
        """Return the instant."""
        where = ZoneInfo(self.zone) if self.zone else zone
        back = (now.astimezone(where).weekday() - self.weekday) % 7
        return DayStart(back=back, zone=self.zone).at(now, zone)

    def __str__(self) -> str:
        """Return the word, with its zone in brackets."""
        return _WEEKDAYS[self.weekday] + _bracket(self.zone)


When = Ago | Instant | Local | DayStart | WeekdayStart


def localized(when: When, now: datetime, zone: tzinfo | None) -> When:
    """Return *when* as an instant where its zone is that of whoever asks; whoever answers need not know the zone."""
    if zone is None or isinstance(when, Ago | Instant) or when.zone:
        return when
    return Instant(moment=when.at(now, zone))


def read_when(text: str) -> When:
    """Read a time; raise BadInput, whose text says only what is wrong, for what is none."""
    if text == "now":
        return Ago(seconds=0)
    if _AGO.fullmatch(text):
        return _ago(text)
    match = _ZONED.fullmatch(text)
    if match is None:
        raise BadInput(_EXPECTED)
    zone = match["zone"] or ""
    _check_zone(zone)
    if match["time"] in _DAYS:
        return DayStart(back=_DAYS[match["time"]], zone=zone)
    if match["time"].lower() in _WEEKDAYS:
        return WeekdayStart(weekday=_WEEKDAYS.index(match["time"].lower()), zone=zone)
    return _written(match["time"], zone)


def _ago(text: str) -> Ago:
    seconds = sum(int(count) * _UNITS[unit] for count, unit in _PART.findall(text))
    if seconds > _LONGEST_S:
        raise BadInput("a relative time reaches back 100 years at most")
    return Ago(seconds=seconds)


def _written(text: str, zone: str) -> Instant | Local:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadInput(_EXPECTED) from None
    if moment.year not in _YEARS:
        raise BadInput(f"expected a year from {_YEARS[0]} to {_YEARS[-1]}")
    if moment.tzinfo is None:
        return Local(wall=moment, zone=zone)
    if zone:
        raise BadInput("give the offset or the zone, not both")
    return Instant(moment=moment)


def _check_zone(zone: str) -> None:
    try:
        if zone:
            ZoneInfo(zone)
    except (ValueError, OSError, KeyError):
        raise BadInput(f"there is no time zone {zone}; expected one like Europe/Paris or UTC") from None


def _bracket(zone: str) -> str:
    return f"[{zone}]" if zone else ""
