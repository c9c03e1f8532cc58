"""The tables of what each day came to: written once the day is over, so that long questions need not read every fact."""

from sqlalchemy import Index, Table

from fleet.history.sql.columns import METADATA, big, items, number, text, time, uid

days = Table(
    "days",
    METADATA,
    text("day", "the day in UTC, YYYY-MM-DD", primary_key=True),
    uid("lowest_id", "lowest id of the updates that were written down that day; null: none was", nullable=True),
    uid("highest_id", "highest id of the updates that were written down that day; null: none was", nullable=True),
    number("updates", "how many updates were written down that day"),
    number("failures", "how many of them went wrong"),
    time("closed_at", "when this row was written: after the end of its day"),
    items("reach", "as highest_id, for each ten minutes from midnight on; null: not looked at yet", nullable=True),
    comment="one row a day that is over",
)

mirror_days = Table(
    "mirror_days",
    METADATA,
    text("mirror", "the source's endpoint, without credentials", primary_key=True),
    text("day", "the day in UTC on which the attempts were written down, YYYY-MM-DD", primary_key=True),
    number("pulls", "pulls in which it was asked, or passed over because it had just failed"),
    number("served", "pulls in which it gave bytes that were used, and nothing wrong"),
    number("failures", "pulls in which it failed"),
    number("passed_over", "pulls in which it was not asked, because it had failed a moment before"),
    number("fallbacks", "pulls that it served after a source before it had not"),
    big("bytes", "verified bytes of it that were passed to engines"),
    big("duration_ms", "time spent receiving these bytes, milliseconds"),
    number("requests", "requests that it got"),
    Index(None, "day"),
    comment="one row a source and day that is over, summed over attempts",
)
