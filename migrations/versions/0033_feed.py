"""Events get a place in the feed, once somebody follows it.

An earlier release that still runs writes events as before: they are numbered as all others.
"""

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
_UNNUMBERED = sa.text("number IS NULL")


def upgrade() -> None:
    """Add the column, and how far events are numbered."""
    place = "its place in the feed; null: nobody who followed has seen it yet"
    op.add_column("events", sa.Column("number", sa.BigInteger(), nullable=True, comment=place))
    op.create_index("ix_events_unnumbered", "events", ["at"], sqlite_where=_UNNUMBERED, postgresql_where=_UNNUMBERED)
    op.create_index("uq_events_number", "events", ["number"], unique=True)
    each = "when somebody last followed who wants each update that went well; null: nobody did"
    op.create_table(
        "feed",
        sa.Column("name", sa.Text(), nullable=False, comment="whose numbers: events"),
        sa.Column("last", sa.BigInteger(), nullable=False, comment="the last number that was given"),
        sa.Column("followed_at", TIME, nullable=True, comment="when somebody last followed; null: nobody did yet"),
        sa.Column("each_at", TIME, nullable=True, comment=each),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_feed")),
        comment="how far events are numbered; whoever numbers more locks its row",
    )


def downgrade() -> None:
    """Drop them; who follows has to begin anew."""
    op.drop_table("feed")
    op.drop_index("uq_events_number", "events")
    op.drop_index("ix_events_unnumbered", "events")
    op.drop_column("events", "number")
