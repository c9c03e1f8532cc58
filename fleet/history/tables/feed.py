"""The table of the feed: how far events are numbered."""

from sqlalchemy import Table

from fleet.history.sql.columns import METADATA, big, text, time

feed = Table(
    "feed",
    METADATA,
    text("name", "whose numbers: events", primary_key=True),
    big("last", "the last number that was given"),
    time("followed_at", "when somebody last followed; null: nobody did yet", nullable=True),
    time(
        "each_at", "when somebody last followed who wants each update that went well; null: nobody did", nullable=True
    ),
    comment="how far events are numbered; whoever numbers more locks its row",
)
