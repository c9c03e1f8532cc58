"""The tables of what happened. Facts are only ever added; on PostgreSQL they lie in partitions by the time in their id.

No foreign key ties a fact to another, since old partitions are dropped one by one.
"""

from typing import Any

from sqlalchemy import Index, PrimaryKeyConstraint, Table
from sqlalchemy import text as sql

from fleet.history.sql.columns import METADATA, big, document, flag, items, number, text, time, uid, words
from fleet.history.sql.short_id import short_id
from fleet.history.tables.words import Purpose
from fleet.mirrors.attempt import AttemptResult
from fleet.mirrors.probe import ProbeState
from fleet.mirrors.source import Role
from fleet.rollouts.states import CommandState
from fleet.updates.outcome import Result, Tier

BY_ID: dict[str, Any] = {"postgresql_partition_by": "RANGE (id)"}
_OPEN = sql("ended_at IS NULL")
FAILURES = (Result.FAILED, Result.ROLLED_BACK, Result.ROLLBACK_FAILED, Result.ABANDONED)
"""The results that mean that an update went wrong."""
IS_FAILURE = "result IN ({})".format(", ".join(f"'{result}'" for result in FAILURES))
_FAILED = sql(IS_FAILURE)
IS_UNCHANGED = f"result <> '{Result.UPDATED}'"
BAD_LOOK = f"state <> '{ProbeState.OK}'"

commands = Table(
    "commands",
    METADATA,
    uid("id", "UUIDv7, made by the centre; travels in every message about it", primary_key=True),
    uid("host_id", "whom it is for"),
    uid("rollout_id", "the rollout that made it"),
    text("asked_by", "person:NAME, schedule:NAME or rollout:ID"),
    words("state", CommandState, "how far it is"),
    document("order", "targets with their pinned digests, policy and pull ids, as the order carries them"),
    number("targets", "how many containers it names: so many updates make it done"),
    number("sent", "how often a message was sent for it in its present state"),
    text("reason", "why it expired or was cancelled"),
    time("created_at", "when it was written"),
    time("changed_at", "when its state last changed"),
    time("sent_at", "when a message was last sent for it", nullable=True),
    time("due_at", "when its next message is due; a lease while one is being sent; null: none is", nullable=True),
    time("deadline", "when its present state is over; null once it ended", nullable=True),
    time("ended_at", "when it was done, expired or cancelled", nullable=True),
    uid("life", "the agent's life that claimed it, and alone may take it; null: any", nullable=True),
    Index("ix_commands_due", "due_at", sqlite_where=_OPEN, postgresql_where=_OPEN),
    Index("ix_commands_deadline", "deadline", sqlite_where=_OPEN, postgresql_where=_OPEN),
    Index(None, "rollout_id", "created_at"),
    comment="what each host was asked; the row is its own outbox",
    **BY_ID,
)

pulls = Table(
    "pulls",
    METADATA,
    uid("id", "UUIDv7, made by the centre with the command", primary_key=True),
    uid("command_id", "which command needed it"),
    uid("host_id", "where"),
    text("image", "canonical registry/repository:tag"),
    text("digest", "what was pulled"),
    text("image_id", "the engine's id of the image; empty where the pull failed"),
    words("tier", Tier, "by which way the engine got the bytes"),
    words("purpose", Purpose, "what it was made for"),
    flag("ok", "whether the engine has the image, proved"),
    text("reason", "why it failed"),
    text("mirror", "the source that served the most bytes; empty: none, or not known"),
    big("bytes", "bytes that were passed to the engine"),
    big("duration_ms", "from its start to its end, milliseconds"),
    time("recorded_at", "when the centre wrote it down"),
    Index(None, "host_id", "id"),
    Index(None, "mirror", "id"),
    comment="one row a pull",
    **BY_ID,
)

attempts = Table(
    "attempts",
    METADATA,
    uid("pull_id", "which pull"),
    number("seq", "its place in the route, from 0"),
    uid("host_id", "where"),
    text("mirror", "the source's endpoint, without credentials"),
    words("role", Role, "mirror or origin"),
    words("result", AttemptResult, "how it did"),
    text("reason", "the first failure's text; empty where there was none"),
    number("status", "the last HTTP status that mattered; 0: none came"),
    big("bytes", "verified bytes of this source that were passed to the engine"),
    number("requests", "how many requests it got"),
    number("failures", "how many of them failed"),
    big("first_byte_ms", "median of its first-byte times, milliseconds", nullable=True),
    big("duration_ms", "time spent receiving its bytes, milliseconds"),
    items("resumed_at", "offsets, in bytes, at which it took over a blob that another had begun"),
    flag("verified", "whether every byte counted had its digest proved"),
    time("recorded_at", "when the centre wrote it down"),
    items("redirected_to", "hosts to which it sent for bytes; null: written before that was told", nullable=True),
    PrimaryKeyConstraint("pull_id", "seq"),
    Index(None, "mirror", "pull_id"),
    Index(None, "recorded_at"),
    comment="one row a pull and source tried; bytes * 1000 / duration_ms is its speed",
    postgresql_partition_by="RANGE (pull_id)",
)

updates = Table(
    "updates",
    METADATA,
    uid("id", "UUIDv7, made by the centre with the command", primary_key=True),
    uid("command_id", "which command"),
    uid("rollout_id", "which rollout"),
    uid("host_id", "where"),
    uid("pull_id", "the pull that it needed; null: none", nullable=True),
    text("asked_by", "person:NAME, schedule:NAME or rollout:ID"),
    text("container", "the container's name"),
    text("image", "canonical registry/repository:tag"),
    text("repository", "canonical registry/repository"),
    words("result", Result, "how it ended"),
    text("reason", "for people; begins with cannot where something failed"),
    text("old_digest", "what ran before; empty: not known"),
    text("new_digest", "what was to run"),
    text("old_image_id", "the engine's id of the image that ran before"),
    text("new_image_id", "the engine's id of the image that was to run"),
    text("old_container_id", "the engine's id of the container before"),
    text("new_container_id", "the engine's id of the container after; empty: none was made, or it was removed"),
    text("mirror", "the source that served the most bytes of its pull; empty: none, or not known"),
    items("config_diff", "lines path: old -> new of the spec, without values of the environment"),
    big("pull_ms", "milliseconds; null: not reached, as with each phase", nullable=True),
    big("create_ms", "milliseconds", nullable=True),
    big("stop_ms", "milliseconds", nullable=True),
    big("start_ms", "milliseconds", nullable=True),
    big("verify_ms", "milliseconds", nullable=True),
    big("rollback_ms", "milliseconds", nullable=True),
    big("downtime_ms", "from the old one's stop until one ran again, milliseconds; null: never stopped", nullable=True),
    time("finished_at", "by the host's clock, for people; decides nothing"),
    time("recorded_at", "when the centre wrote it down"),
    flag(
        "interrupted", "whether the agent ended in the middle of it; null: written before that was told", nullable=True
    ),
    Index(None, "host_id", "id"),
    Index(None, "rollout_id", "id"),
    Index(None, "repository", "id"),
    Index(None, "new_digest", "id"),
    Index(None, "old_digest", "id"),
    Index(None, "mirror", "id"),
    Index(None, "result", "id"),
    Index(None, "recorded_at"),
    Index(None, "asked_by", "id"),
    Index(None, "host_id", "container", "id"),
    # Failures are few: a small index finds all of one image at once, among millions that went well.
    Index("ix_updates_failures", "repository", "id", sqlite_where=_FAILED, postgresql_where=_FAILED),
    # So are those of a host that changed nothing, whether they failed or were not needed.
    Index("ix_updates_unchanged", "host_id", "id", sqlite_where=sql(IS_UNCHANGED), postgresql_where=sql(IS_UNCHANGED)),
    comment="one row a container and command: the history proper",
    **BY_ID,
)

Index("ix_updates_short_id", short_id(updates.c.id))
"""People give an outcome by the end of its id, among millions."""

mirror_probes = Table(
    "mirror_probes",
    METADATA,
    uid("id", "UUIDv7, made by the centre when it wrote the row", primary_key=True),
    uid("host_id", "from where; null: from the centre", nullable=True),
    text("mirror", "the endpoint, without credentials"),
    text("registry", "the registry that it was asked as"),
    flag("ok", "whether it answered as a registry"),
    number("status", "the HTTP status; 0: none came"),
    text("reason", "why it is not ok"),
    big("duration_ms", "until its answer, milliseconds"),
    time("recorded_at", "when the centre wrote it down"),
    text("state", "what the look found, one word; null: written by a version that did not tell", nullable=True),
    uid("test_id", "the test that asked for it; null: none did", nullable=True),
    time("tls_not_after", "when its certificate expires; null: it has none, or it was not seen", nullable=True),
    text("digest", "what it said that the tag has; null: it was not asked, or did not say", nullable=True),
    text("origin_digest", "what the origin had said before; null: not known", nullable=True),
    big("bytes_per_s", "how fast a blob came, bytes a second; null: not measured", nullable=True),
    Index(None, "mirror", "id"),
    # What is wrong is looked for on each page, and is little.
    Index("ix_mirror_probes_bad", "id", sqlite_where=sql(BAD_LOOK), postgresql_where=sql(BAD_LOOK)),
    comment="looks at mirrors between pulls",
    **BY_ID,
)

rollout_events = Table(
    "rollout_events",
    METADATA,
    uid("id", "UUIDv7", primary_key=True),
    uid("rollout_id", "which rollout"),
    uid("host_id", "which host; null: the rollout or a wave", nullable=True),
    text("kind", "what happened, one word"),
    document("details", "what else is known of it"),
    time("at", "when"),
    Index(None, "rollout_id", "id"),
    comment="what happened to each rollout, in order",
    **BY_ID,
)

audit = Table(
    "audit",
    METADATA,
    uid("id", "UUIDv7", primary_key=True),
    text("who", "person:NAME, schedule:NAME or token:NAME"),
    text("door", "through what: socket, api, schedule, command line"),
    text("action", "what was done, as verb and noun: host add"),
    text("subject", "to what"),
    document("details", "what else is known of it, without secrets"),
    time("at", "when"),
    Index(None, "who", "id"),
    Index(None, "subject", "id"),
    comment="who did what",
    **BY_ID,
)

PARTITIONED = (commands, pulls, attempts, updates, mirror_probes, rollout_events, audit)
"""The tables that lie in partitions on PostgreSQL."""
