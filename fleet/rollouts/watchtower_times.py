"""When Watchtower looked, as a cron expression of five fields. Pure."""

from dataclasses import dataclass

from fleet.errors import BadInput

DEFAULT_INTERVAL_S = 86_400
"""How often Watchtower looks where nobody said so."""
_DESCRIPTORS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_UNITS_S = {"h": 3600, "m": 60, "s": 1}
_DAILY, _WEEKLY = "0 4 * * *", "0 4 * * 0"
"""When a look that is rarer than hourly comes: at night, since Watchtower's own time of day is that at which it was started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """A cron expression, and how it differs from what Watchtower did."""

    cron: str
    differs: str = ""


def of_schedule(written: str) -> Times:
    """Return what ``--schedule`` means: six fields that begin with seconds, or a descriptor; raises BadInput."""
    text = written.strip().lower()
    if text in _DESCRIPTORS:
        return Times(cron=_DESCRIPTORS[text])
    if text.startswith("@every"):
        return of_interval(_seconds(text.removeprefix("@every").strip()))
    fields = written.replace("?", "*").split()
    if len(fields) == 5:
        fields.append("*")  # Watchtower's own reading: seconds come first, and the day of the week may be left out
    if len(fields) != 6:
        raise BadInput(f"cannot use {written!r} as Watchtower's schedule; expected six fields, the first of seconds")
    second, *rest = fields
    return Times(cron=" ".join(rest), differs="" if second in ("0", "00") else "at the full minute, not at its seconds")


def of_interval(seconds: int) -> Times:
    """Return a cron expression for every *seconds*: the next longer one that divides an hour or a day; days are daily."""
    if seconds <= 0:
        raise BadInput(f"cannot use {seconds} s as Watchtower's interval")
    minutes = max(1, -(-seconds // 60))
    if minutes >= 24 * 60:
        if seconds == 7 * DEFAULT_INTERVAL_S:
            return Times(cron=_WEEKLY, differs="on Sundays at 04:00")
        return Times(cron=_DAILY, differs="daily at 04:00")
    if minutes >= 60:
        hours = next(each for each in (1, 2, 3, 4, 6, 8, 12, 24) if each * 60 >= minutes)
        exact = hours * 3600 == seconds
        cron = _DAILY if hours == 24 else "0 * * * *" if hours == 1 else f"0 */{hours} * * *"
        return Times(cron=cron, differs="" if exact else f"every {hours} h")
    step = next(each for each in (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60) if each >= minutes)
    cron = "* * * * *" if step == 1 else "0 * * * *" if step == 60 else f"*/{step} * * * *"
    return Times(cron=cron, differs="" if step * 60 == seconds else f"every {step} min")


def _seconds(text: str) -> int:
    """Return the whole seconds of a duration such as ``1h30m``; raises BadInput."""
    total, digits = 0.0, ""
    for sign in text:
        if sign.isdigit() or sign == ".":
            digits += sign
        elif sign in _UNITS_S and digits.strip("."):
            total, digits = total + float(digits) * _UNITS_S[sign], ""
        else:
            raise BadInput(f"cannot use {text!r} as a duration; expected one such as 1h30m")
    if digits or not total:
        raise BadInput(f"cannot use {text!r} as a duration; expected one such as 1h30m")
    return round(total)
