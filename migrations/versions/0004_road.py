"""Messages in and out, progress, and API tokens."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
DOCUMENT = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "messages",
        sa.Column(
            "id", sa.Uuid(), nullable=False, comment="the message's own id (jti); makes taking it twice harmless"
        ),
        sa.Column("host_id", sa.Uuid(), nullable=False, comment="who sent it"),
        sa.Column("received_at", TIME, nullable=False, comment="when; pruned once the message has expired"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_messages")),
        comment="the messages of hosts that were taken",
    )
    op.create_index(op.f("ix_messages_received_at"), "messages", ["received_at"], unique=False)
    op.create_table(
        "refused",
        sa.Column("id", sa.Uuid(), nullable=False, comment="UUIDv7, made by the centre"),
        sa.Column("host_id", sa.Uuid(), nullable=True, comment="who sent it, where its signature proved that"),
        sa.Column("reason", sa.Text(), nullable=False, comment="why it was refused"),
        sa.Column(
            "raw", sa.LargeBinary(), nullable=False, comment="its first bytes, for inspection; never parsed again"
        ),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False, comment="how long it was"),
        sa.Column("received_at", TIME, nullable=False, comment="when; pruned"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refused")),
        comment="what hosts wrote that cannot be trusted or understood",
    )
    op.create_index(op.f("ix_refused_received_at"), "refused", ["received_at"], unique=False)
    op.create_table(
        "outbox",
        sa.Column(
            "id",
            sa.Uuid(),
            nullable=False,
            comment="UUIDv7, or made of what it tells where to tell that twice at once is idle",
        ),
        sa.Column("host_id", sa.Uuid(), nullable=False, comment="whom it is for"),
        sa.Column("body", DOCUMENT, nullable=False, comment="the message, before it is signed"),
        sa.Column("sent", sa.Integer(), autoincrement=False, nullable=False, comment="how often its sending was begun"),
        sa.Column("created_at", TIME, nullable=False, comment="when it was written, with the change that it tells of"),
        sa.Column("leased_until", TIME, nullable=True, comment="until when a sender that has begun keeps others away"),
        sa.ForeignKeyConstraint(["host_id"], ["hosts.id"], name=op.f("fk_outbox_host_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
        comment="messages to hosts that are not the doorbell, order or go of a command; a row is gone once it was sent",
    )
    op.create_index(op.f("ix_outbox_leased_until"), "outbox", ["leased_until"], unique=False)
    op.create_table(
        "progress",
        sa.Column("command_id", sa.Uuid(), nullable=False, comment="which command"),
        sa.Column("host_id", sa.Uuid(), nullable=False, comment="where"),
        sa.Column("container", sa.Text(), nullable=False, comment="which container; empty: all of the command"),
        sa.Column("phase", sa.Text(), nullable=False, comment="pull, ready, create, stop, start, verify, rollback"),
        sa.Column("bytes", sa.BigInteger(), nullable=False, comment="bytes so far"),
        sa.Column("total", sa.BigInteger(), nullable=False, comment="bytes in all, 0: not known"),
        sa.Column("mirror", sa.Text(), nullable=False, comment="the source that serves"),
        sa.Column("at", TIME, nullable=False, comment="when the centre wrote it down"),
        sa.PrimaryKeyConstraint("command_id", name=op.f("pk_progress")),
        comment="how far each command is: the latest wins, never history",
    )
    op.create_index(op.f("ix_progress_at"), "progress", ["at"], unique=False)
    op.create_table(
        "tokens",
        sa.Column("id", sa.Uuid(), nullable=False, comment="UUIDv7"),
        sa.Column("name", sa.Text(), nullable=False, comment="what people call it"),
        sa.Column(
            "sha256", sa.Text(), nullable=False, comment="SHA-256 in hex of the token; the token itself is nowhere"
        ),
        sa.Column("scope", sa.Text(), nullable=False, comment="what it may do"),
        sa.Column("created_by", sa.Text(), nullable=False, comment="who made it"),
        sa.Column("created_at", TIME, nullable=False, comment="when it was made"),
        sa.Column("expires_at", TIME, nullable=True, comment="when it does not hold any more; null: never"),
        sa.Column("last_used_at", TIME, nullable=True, comment="when it was last used"),
        sa.Column("revoked_at", TIME, nullable=True, comment="when it was taken back"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tokens")),
        comment="the API's bearer tokens",
    )
    op.create_index("uq_tokens_name", "tokens", ["name"], unique=True)
    op.create_index("uq_tokens_sha256", "tokens", ["sha256"], unique=True)


def downgrade() -> None:
    """Drop the tables, with all that is in them."""
    op.drop_table("tokens")
    op.drop_table("progress")
    op.drop_table("outbox")
    op.drop_table("refused")
    op.drop_table("messages")
