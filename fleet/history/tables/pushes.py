"""The tables of what registries say was pushed: who may say so, and what was said and is not checked yet."""

from sqlalchemy import Index, Table

from fleet.history.sql.columns import METADATA, text, time, uid

receivers = Table(
    "receivers",
    METADATA,
    uid("id", "UUIDv7; stands in its URL", primary_key=True),
    text("name", "what people call it"),
    text("sha256", "SHA-256 in hex of its secret; the secret itself is nowhere"),
    text("registry", "the registry that it speaks of, as hosts name it; empty: the one that each body names"),
    text("created_by", "who made it"),
    time("created_at", "when it was made"),
    time("last_used_at", "when it was last spoken to by who knew the secret; null: never", nullable=True),
    text("last_heard", "what it heard then"),
    Index("uq_receivers_name", "name", unique=True),
    comment="where registries say that something was pushed",
)

pushes = Table(
    "pushes",
    METADATA,
    text("image", "canonical registry/repository:tag", primary_key=True),
    time("heard_at", "when a push of it was first heard of since it was last asked for"),
    comment="tags that are asked for soon because a push of them was heard of",
)
