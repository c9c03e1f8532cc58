"""The tables of the road and the doors: messages in and out, progress, and API tokens."""

from sqlalchemy import Column, Index, LargeBinary, Table

from fleet.history.sql.columns import METADATA, big, document, number, text, time, uid, words
from fleet.history.tables.words import Scope

messages = Table(
    "messages",
    METADATA,
    uid("id", "the message's own id (jti); makes taking it twice harmless", primary_key=True),
    uid("host_id", "who sent it"),
    time("received_at", "when; pruned once the message has expired"),
    Index(None, "received_at"),
    comment="the messages of hosts that were taken",
)

refused = Table(
    "refused",
    METADATA,
    uid("id", "UUIDv7, made by the centre", primary_key=True),
    uid("host_id", "who sent it, where its signature proved that", nullable=True),
    text("reason", "why it was refused"),
    Column("raw", LargeBinary(), nullable=False, comment="its first bytes, for inspection; never parsed again"),
    big("size_bytes", "how long it was, bytes"),
    time("received_at", "when; pruned"),
    Index(None, "received_at"),
    comment="what hosts wrote that cannot be trusted or understood",
)

outbox = Table(
    "outbox",
    METADATA,
    uid("id", "UUIDv7, or made of what it tells where to tell that twice at once is idle", primary_key=True),
    # No foreign key: hosts are never deleted, and to look each up takes as long as to write its row.
    uid("host_id", "whom it is for"),
    document("body", "the message, before it is signed"),
    number("sent", "how often its sending was begun"),
    time("created_at", "when it was written, with the change that it tells of"),
    time("leased_until", "until when a sender that has begun keeps others away", nullable=True),
    Index(None, "created_at"),
    comment="messages to hosts that are not the doorbell, order or go of a command; a row is gone once it was sent",
)

progress = Table(
    "progress",
    METADATA,
    uid("command_id", "which command", primary_key=True),
    uid("host_id", "where"),
    text("container", "which container; empty: all of the command"),
    text("phase", "pull, ready, create, stop, start, verify, rollback"),
    big("bytes", "bytes so far"),
    big("total", "bytes in all, 0: not known"),
    text("mirror", "the source that serves"),
    time("at", "when the centre wrote it down"),
    Index(None, "at"),
    comment="how far each command is: the latest wins, never history",
)

tokens = Table(
    "tokens",
    METADATA,
    uid("id", "UUIDv7", primary_key=True),
    text("name", "what people call it"),
    text("sha256", "SHA-256 in hex of the token; the token itself is nowhere"),
    words("scope", Scope, "what it may do"),
    text("created_by", "who made it"),
    time("created_at", "when it was made"),
    time("expires_at", "when it does not hold any more; null: never", nullable=True),
    time("last_used_at", "when it was last used", nullable=True),
    time("revoked_at", "when it was taken back", nullable=True),
    Index("uq_tokens_sha256", "sha256", unique=True),
    Index("uq_tokens_name", "name", unique=True),
    comment="the API's bearer tokens",
)
