"""The tables of looks at mirrors that were asked for, and of what registries say of their limits."""

from sqlalchemy import ForeignKey, Index, Table

from fleet.history.sql.columns import METADATA, number, text, time, uid

mirror_tests = Table(
    "mirror_tests",
    METADATA,
    uid("id", "UUIDv7; travels in the request and its answer", primary_key=True),
    uid("host_id", "the host that was asked to look", ForeignKey("hosts.id")),
    text("asked_by", "person:NAME, or schedule"),
    time("asked_at", "when it was asked"),
    time("answered_at", "when its answer came", nullable=True),
    Index(None, "host_id", "asked_at"),
    comment="looks at mirrors that hosts were asked for",
)

rate_limits = Table(
    "rate_limits",
    METADATA,
    text("endpoint", "the endpoint that said so", primary_key=True),
    number("limit", "pulls a window"),
    number("remaining", "pulls that were left"),
    number("window_s", "the window, seconds; 0: not said"),
    text("source", "whom it counts: an address or an account's id"),
    time("seen_at", "when it was last said to the centre"),
    comment="how often registries may be asked by the centre, as they last said",
)
