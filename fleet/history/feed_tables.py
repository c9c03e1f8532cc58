"""The table of the feed: how far events are numbered."""

from sqlalchemy import Table

from fleet.history.columns import METADATA, big, text

feed = Table(
    "feed",
    METADATA,
    text("name", "whose numbers: events", primary_key=True),
    big("last", "the last number that was given"),
    comment="how far events are numbered; whoever numbers more locks its row",
)
