"""Messages of a channel may hold links by which its readers answer for a rollout; only the hash of what opens one is kept.

An earlier release that still runs sends none, and takes none.
"""

import sqlalchemy as sa
from alembic import op

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def _id(name: str, comment: str) -> sa.Column[object]:
    return sa.Column(name, sa.Uuid(), nullable=False, comment=comment)


def _text(name: str, comment: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False, comment=comment)


def upgrade() -> None:
    """Make the table, and the column that says which channels may have them."""
    may = "whether its messages may hold links by which its readers answer; null: they may not"
    op.add_column("channels", sa.Column("links", sa.Boolean(), nullable=True, comment=may))
    op.create_table(
        "links",
        _id("id", "UUIDv7; stands in its address"),
        _id("channel_id", "in whose messages it stands"),
        _id("event_id", "of which event"),
        _id("rollout_id", "which rollout it answers for"),
        sa.Column("wave", sa.Integer(), nullable=False, comment="which wave waits for the answer, from 0"),
        _text("act", "what it does"),
        _text("sha256", "SHA-256 in hex of what opens it, which is nowhere"),
        sa.Column("created_at", TIME, nullable=False, comment="when it was first sent"),
        sa.Column("expires_at", TIME, nullable=False, comment="until when it can be used"),
        sa.Column("used_at", TIME, nullable=True, comment="when it was used; null: it was not"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_links")),
        comment="links in messages that answer for a rollout; pruned",
    )
    op.create_index("uq_links_event", "links", ["channel_id", "event_id", "act"], unique=True)
    op.create_index(op.f("ix_links_created_at"), "links", ["created_at"])


def downgrade() -> None:
    """Drop them."""
    op.drop_table("links")
    op.drop_column("channels", "links")
