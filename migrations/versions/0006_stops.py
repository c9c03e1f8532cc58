"""Freezes, holds, snoozes and skips; runs of schedules that were missed."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
DOCUMENT = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "stops",
        sa.Column("id", sa.Uuid(), nullable=False, comment="UUIDv7"),
        sa.Column("kind", sa.Text(), nullable=False, comment="what is stopped"),
        sa.Column("selector", DOCUMENT, nullable=False, comment="which hosts, containers and images; empty: all"),
        sa.Column("digest", sa.Text(), nullable=False, comment="the digest that is not wanted; empty but for a skip"),
        sa.Column("reason", sa.Text(), nullable=False, comment="why, for people"),
        sa.Column("created_by", sa.Text(), nullable=False, comment="who said so"),
        sa.Column("created_at", TIME, nullable=False, comment="when"),
        sa.Column("begins_at", TIME, nullable=False, comment="from when on it holds"),
        sa.Column("ends_at", TIME, nullable=True, comment="until when it holds; null: until it is lifted"),
        sa.Column("lifted_by", sa.Text(), nullable=False, comment="who lifted it; empty: nobody"),
        sa.Column("lifted_at", TIME, nullable=True, comment="when it was lifted; null: it was not"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stops")),
        comment="what people said shall not be updated for now",
    )
    op.create_index(
        "ix_stops_open",
        "stops",
        ["id"],
        unique=False,
        sqlite_where=sa.text("lifted_at IS NULL"),
        postgresql_where=sa.text("lifted_at IS NULL"),
    )
    late = "how late a run may begin, milliseconds; later it is missed; null: however late"
    op.add_column("schedules", sa.Column("late_ms", sa.BigInteger(), nullable=True, comment=late))
    missed = "how many runs never began; null: none"
    op.add_column("schedules", sa.Column("missed", sa.Integer(), autoincrement=False, nullable=True, comment=missed))
    op.add_column(
        "schedules",
        sa.Column("last_missed_at", TIME, nullable=True, comment="when the latest of them was due"),
    )


def downgrade() -> None:
    """Drop them, with all that is in them."""
    for name in ("last_missed_at", "missed", "late_ms"):
        op.drop_column("schedules", name)
    op.drop_table("stops")
