"""What happened: on PostgreSQL in partitions by the time in the id."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
DOCUMENT = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
PARTITIONED = ("commands", "pulls", "attempts", "updates", "mirror_probes", "rollout_events", "audit")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "commands",
        sa.Column(
            "id", sa.Uuid(), nullable=False, comment="UUIDv7, made by the centre; travels in every message about it"
        ),
        sa.Column("host_id", sa.Uuid(), nullable=False, comment="whom it is for"),
        sa.Column("rollout_id", sa.Uuid(), nullable=False, comment="the rollout that made it"),
        sa.Column("asked_by", sa.Text(), nullable=False, comment="person:NAME, schedule:NAME or rollout:ID"),
        sa.Column("state", sa.Text(), nullable=False, comment="how far it is"),
        sa.Column(
            "order",
            DOCUMENT,
            nullable=False,
            comment="targets with their pinned digests, policy and pull ids, as the order carries them",
        ),
        sa.Column(
            "targets",
            sa.Integer(),
            autoincrement=False,
            nullable=False,
            comment="how many containers it names: so many updates make it done",
        ),
        sa.Column(
            "sent",
            sa.Integer(),
            autoincrement=False,
            nullable=False,
            comment="how often a message was sent for it in its present state",
        ),
        sa.Column("reason", sa.Text(), nullable=False, comment="why it expired or was cancelled"),
        sa.Column("created_at", TIME, nullable=False, comment="when it was written"),
        sa.Column("changed_at", TIME, nullable=False, comment="when its state last changed"),
        sa.Column("sent_at", TIME, nullable=True, comment="when a message was last sent for it"),
        sa.Column(
            "due_at",
            TIME,
            nullable=True,
            comment="when its next message is due; a lease while one is being sent; null: none is",
        ),
        sa.Column("deadline", TIME, nullable=True, comment="when its present state is over; null once it ended"),
        sa.Column("ended_at", TIME, nullable=True, comment="when it was done, expired or cancelled"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_commands")),
        comment="what each host was asked; the row is its own outbox",
        postgresql_partition_by="RANGE (id)",
    )
    op.create_index(
        "ix_commands_deadline",
        "commands",
        ["deadline"],
        unique=False,
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_index(
        "ix_commands_due",
        "commands",
        ["due_at"],
        unique=False,
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_index(
        "ix_commands_open",
        "commands",
        ["host_id", "state"],
        unique=False,
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_index(op.f("ix_commands_rollout_id"), "commands", ["rollout_id"], unique=False)
    op.create_table(
        "pulls",
        sa.Column("id", sa.Uuid(), nullable=False, comment="UUIDv7, made by the centre with the command"),
        sa.Column("command_id", sa.Uuid(), nullable=False, comment="which command needed it"),
        sa.Column("host_id", sa.Uuid(), nullable=False, comment="where"),
        sa.Column("image", sa.Text(), nullable=False, comment="canonical registry/repository:tag"),
        sa.Column("digest", sa.Text(), nullable=False, comment="what was pulled"),
        sa.Column(
            "image_id", sa.Text(), nullable=False, comment="the engine's id of the image; empty where the pull failed"
        ),
        sa.Column("tier", sa.Text(), nullable=False, comment="by which way the engine got the bytes"),
        sa.Column("purpose", sa.Text(), nullable=False, comment="what it was made for"),
        sa.Column("ok", sa.Boolean(), nullable=False, comment="whether the engine has the image, proved"),
        sa.Column("reason", sa.Text(), nullable=False, comment="why it failed"),
        sa.Column(
            "mirror",
            sa.Text(),
            nullable=False,
            comment="the source that served the most bytes; empty: none, or not known",
        ),
        sa.Column("bytes", sa.BigInteger(), nullable=False, comment="bytes that were passed to the engine"),
        sa.Column("duration_ms", sa.BigInteger(), nullable=False, comment="from its start to its end, milliseconds"),
        sa.Column("recorded_at", TIME, nullable=False, comment="when the centre wrote it down"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pulls")),
        comment="one row a pull",
        postgresql_partition_by="RANGE (id)",
    )
    op.create_index(op.f("ix_pulls_host_id_id"), "pulls", ["host_id", "id"], unique=False)
    op.create_index(op.f("ix_pulls_mirror_id"), "pulls", ["mirror", "id"], unique=False)
    op.create_table(
        "attempts",
        sa.Column("pull_id", sa.Uuid(), nullable=False, comment="which pull"),
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False, comment="its place in the route, from 0"),
        sa.Column("host_id", sa.Uuid(), nullable=False, comment="where"),
        sa.Column("mirror", sa.Text(), nullable=False, comment="the source's endpoint, without credentials"),
        sa.Column("role", sa.Text(), nullable=False, comment="mirror or origin"),
        sa.Column("result", sa.Text(), nullable=False, comment="how it did"),
        sa.Column("reason", sa.Text(), nullable=False, comment="the first failure's text; empty where there was none"),
        sa.Column(
            "status",
            sa.Integer(),
            autoincrement=False,
            nullable=False,
            comment="the last HTTP status that mattered; 0: none came",
        ),
        sa.Column(
            "bytes",
            sa.BigInteger(),
            nullable=False,
            comment="verified bytes of this source that were passed to the engine",
        ),
        sa.Column("requests", sa.Integer(), autoincrement=False, nullable=False, comment="how many requests it got"),
        sa.Column("failures", sa.Integer(), autoincrement=False, nullable=False, comment="how many of them failed"),
        sa.Column(
            "first_byte_ms", sa.BigInteger(), nullable=True, comment="median of its first-byte times, milliseconds"
        ),
        sa.Column(
            "duration_ms", sa.BigInteger(), nullable=False, comment="time spent receiving its bytes, milliseconds"
        ),
        sa.Column(
            "resumed_at",
            DOCUMENT,
            nullable=False,
            comment="offsets, in bytes, at which it took over a blob that another had begun",
        ),
        sa.Column("verified", sa.Boolean(), nullable=False, comment="whether every byte counted had its digest proved"),
        sa.Column("recorded_at", TIME, nullable=False, comment="when the centre wrote it down"),
        sa.PrimaryKeyConstraint("pull_id", "seq", name=op.f("pk_attempts")),
        comment="one row a pull and source tried; bytes * 1000 / duration_ms is its speed",
        postgresql_partition_by="RANGE (pull_id)",
    )
    op.create_index(op.f("ix_attempts_mirror_pull_id"), "attempts", ["mirror", "pull_id"], unique=False)
    op.create_table(
        "updates",
        sa.Column("id", sa.Uuid(), nullable=False, comment="UUIDv7, made by the centre with the command"),
        sa.Column("command_id", sa.Uuid(), nullable=False, comment="which command"),
        sa.Column("rollout_id", sa.Uuid(), nullable=False, comment="which rollout"),
        sa.Column("host_id", sa.Uuid(), nullable=False, comment="where"),
        sa.Column("pull_id", sa.Uuid(), nullable=True, comment="the pull that it needed; null: none"),
        sa.Column("asked_by", sa.Text(), nullable=False, comment="person:NAME, schedule:NAME or rollout:ID"),
        sa.Column("container", sa.Text(), nullable=False, comment="the container's name"),
        sa.Column("image", sa.Text(), nullable=False, comment="canonical registry/repository:tag"),
        sa.Column("repository", sa.Text(), nullable=False, comment="canonical registry/repository"),
        sa.Column("result", sa.Text(), nullable=False, comment="how it ended"),
        sa.Column("reason", sa.Text(), nullable=False, comment="for people; begins with cannot where something failed"),
        sa.Column("old_digest", sa.Text(), nullable=False, comment="what ran before; empty: not known"),
        sa.Column("new_digest", sa.Text(), nullable=False, comment="what was to run"),
        sa.Column("old_image_id", sa.Text(), nullable=False, comment="the engine's id of the image that ran before"),
        sa.Column("new_image_id", sa.Text(), nullable=False, comment="the engine's id of the image that was to run"),
        sa.Column("old_container_id", sa.Text(), nullable=False, comment="the engine's id of the container before"),
        sa.Column(
            "new_container_id",
            sa.Text(),
            nullable=False,
            comment="the engine's id of the container after; empty: none was made, or it was removed",
        ),
        sa.Column(
            "mirror",
            sa.Text(),
            nullable=False,
            comment="the source that served the most bytes of its pull; empty: none, or not known",
        ),
        sa.Column(
            "config_diff",
            DOCUMENT,
            nullable=False,
            comment="lines path: old -> new of the spec, without values of the environment",
        ),
        sa.Column(
            "pull_ms", sa.BigInteger(), nullable=True, comment="milliseconds; null: not reached, as with each phase"
        ),
        sa.Column("create_ms", sa.BigInteger(), nullable=True, comment="milliseconds"),
        sa.Column("stop_ms", sa.BigInteger(), nullable=True, comment="milliseconds"),
        sa.Column("start_ms", sa.BigInteger(), nullable=True, comment="milliseconds"),
        sa.Column("verify_ms", sa.BigInteger(), nullable=True, comment="milliseconds"),
        sa.Column("rollback_ms", sa.BigInteger(), nullable=True, comment="milliseconds"),
        sa.Column(
            "downtime_ms",
            sa.BigInteger(),
            nullable=True,
            comment="from the old one's stop until one ran again, milliseconds; null: never stopped",
        ),
        sa.Column("finished_at", TIME, nullable=False, comment="by the host's clock, for people; decides nothing"),
        sa.Column("recorded_at", TIME, nullable=False, comment="when the centre wrote it down"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_updates")),
        comment="one row a container and command: the history proper",
        postgresql_partition_by="RANGE (id)",
    )
    op.create_index(op.f("ix_updates_command_id"), "updates", ["command_id"], unique=False)
    op.create_index(op.f("ix_updates_host_id_id"), "updates", ["host_id", "id"], unique=False)
    op.create_index(op.f("ix_updates_mirror_id"), "updates", ["mirror", "id"], unique=False)
    op.create_index(op.f("ix_updates_new_digest_id"), "updates", ["new_digest", "id"], unique=False)
    op.create_index(op.f("ix_updates_old_digest_id"), "updates", ["old_digest", "id"], unique=False)
    op.create_index(op.f("ix_updates_recorded_at"), "updates", ["recorded_at"], unique=False)
    op.create_index(op.f("ix_updates_repository_id"), "updates", ["repository", "id"], unique=False)
    op.create_index(op.f("ix_updates_result_id"), "updates", ["result", "id"], unique=False)
    op.create_index(op.f("ix_updates_rollout_id_id"), "updates", ["rollout_id", "id"], unique=False)
    op.create_table(
        "mirror_probes",
        sa.Column("id", sa.Uuid(), nullable=False, comment="UUIDv7, made by the centre when it wrote the row"),
        sa.Column("host_id", sa.Uuid(), nullable=True, comment="from where; null: from the centre"),
        sa.Column("mirror", sa.Text(), nullable=False, comment="the endpoint, without credentials"),
        sa.Column("registry", sa.Text(), nullable=False, comment="the registry that it was asked as"),
        sa.Column("ok", sa.Boolean(), nullable=False, comment="whether it answered as a registry"),
        sa.Column("status", sa.Integer(), autoincrement=False, nullable=False, comment="the HTTP status; 0: none came"),
        sa.Column("reason", sa.Text(), nullable=False, comment="why it is not ok"),
        sa.Column("duration_ms", sa.BigInteger(), nullable=False, comment="until its answer, milliseconds"),
        sa.Column("recorded_at", TIME, nullable=False, comment="when the centre wrote it down"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mirror_probes")),
        comment="looks at mirrors between pulls",
        postgresql_partition_by="RANGE (id)",
    )
    op.create_index(op.f("ix_mirror_probes_mirror_id"), "mirror_probes", ["mirror", "id"], unique=False)
    op.create_table(
        "rollout_events",
        sa.Column("id", sa.Uuid(), nullable=False, comment="UUIDv7"),
        sa.Column("rollout_id", sa.Uuid(), nullable=False, comment="which rollout"),
        sa.Column("host_id", sa.Uuid(), nullable=True, comment="which host; null: the rollout or a wave"),
        sa.Column("kind", sa.Text(), nullable=False, comment="what happened, one word"),
        sa.Column("details", DOCUMENT, nullable=False, comment="what else is known of it"),
        sa.Column("at", TIME, nullable=False, comment="when"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rollout_events")),
        comment="what happened to each rollout, in order",
        postgresql_partition_by="RANGE (id)",
    )
    op.create_index(op.f("ix_rollout_events_rollout_id_id"), "rollout_events", ["rollout_id", "id"], unique=False)
    op.create_table(
        "audit",
        sa.Column("id", sa.Uuid(), nullable=False, comment="UUIDv7"),
        sa.Column("who", sa.Text(), nullable=False, comment="person:NAME, schedule:NAME or token:NAME"),
        sa.Column("door", sa.Text(), nullable=False, comment="through what: socket, api, schedule, command line"),
        sa.Column("action", sa.Text(), nullable=False, comment="what was done, as verb and noun: host add"),
        sa.Column("subject", sa.Text(), nullable=False, comment="to what"),
        sa.Column("details", DOCUMENT, nullable=False, comment="what else is known of it, without secrets"),
        sa.Column("at", TIME, nullable=False, comment="when"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
        comment="who did what",
        postgresql_partition_by="RANGE (id)",
    )
    op.create_index(op.f("ix_audit_subject_id"), "audit", ["subject", "id"], unique=False)
    op.create_index(op.f("ix_audit_who_id"), "audit", ["who", "id"], unique=False)
    if op.get_bind().dialect.name == "postgresql":
        for table in PARTITIONED:
            op.execute(f"CREATE TABLE {table}_default PARTITION OF {table} DEFAULT")


def downgrade() -> None:
    """Drop the tables, with all that is in them."""
    op.drop_table("audit")
    op.drop_table("rollout_events")
    op.drop_table("mirror_probes")
    op.drop_table("updates")
    op.drop_table("attempts")
    op.drop_table("pulls")
    op.drop_table("commands")
