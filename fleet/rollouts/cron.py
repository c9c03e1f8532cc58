"""When a schedule runs: cron expressions in a time zone, right over the changes of daylight saving."""

from datetime import UTC, datetime, timedelta

from cronsim import CronSim, CronSimError

from fleet.errors import BadInput
from fleet.rollouts.windows import zone_named


def next_run(cron: str, zone: str, after: datetime) -> datetime:
    """Return the first instant strictly after *after* at which *cron* fires in *zone*, in UTC.

    A time that a spring gap swallows fires at the first instant after the gap; one that autumn repeats fires once,
    at the first (Debian's rules). Raises BadInput for an expression or zone that cannot be used, and for an expression
    that never fires.
    """
    for at in _simulated(cron, after.astimezone(zone_named(zone))):
        if (instant := at.astimezone(UTC)) > after:
            return instant
    raise BadInput(_bad(cron, "it never fires"))


def names(cron: str, on_the_wall: datetime) -> bool:
    """Tell whether *cron* names the time that a clock shows (a datetime without a zone, in full minutes)."""
    return next(_simulated(cron, on_the_wall - timedelta(minutes=1))) == on_the_wall


def named_after(cron: str, on_the_wall: datetime) -> datetime:
    """Return the first time strictly after *on_the_wall* that *cron* names, as if no clock were ever changed."""
    return next(_simulated(cron, on_the_wall))


def check_cron(cron: str, zone: str) -> None:
    """Raise BadInput where *cron* or *zone* cannot be used."""
    next_run(cron, zone, datetime(2026, 1, 1, tzinfo=UTC))


def explain(cron: str) -> str:
    """Return the expression in words: ``At 03:00 on Monday through Friday``; raises BadInput where it is none."""
    return str(_simulated(cron, datetime(2026, 1, 1, tzinfo=UTC)).explain())


def _simulated(cron: str, start: datetime) -> CronSim:
    # cronsim takes a sixth field for seconds, but then leaves Debian's rules for daylight saving.
    if len(cron.split()) != 5:
        raise BadInput(_bad(cron, "it has not five fields"))
    try:
        return CronSim(cron, start)
    except CronSimError as broken:
        raise BadInput(_bad(cron, str(broken))) from None


def _bad(cron: str, why: str) -> str:
    return f"cannot use {cron[:120]!r} as a schedule: {why}; give five fields, such as '0 3 * * 1-5'"
