"""Channels may have quiet hours, and what waits for their end is known to.

An earlier release that still runs knows of none, and tells at once.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

ITEMS = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    """Add the columns."""
    hours = "windows in which it is told only of what cannot wait; null: none"
    op.add_column("channels", sa.Column("quiet", ITEMS, nullable=True, comment=hours))
    passes = "what is as urgent as this is told all the same; empty: nothing; null: errors"
    op.add_column("channels", sa.Column("quiet_passes", sa.Text(), nullable=True, comment=passes))
    held = "when the quiet hours end that it waits for; null: it waits for none"
    op.add_column("deliveries", sa.Column("held_until", sa.DateTime(timezone=True), nullable=True, comment=held))


def downgrade() -> None:
    """Drop them."""
    op.drop_column("deliveries", "held_until")
    op.drop_column("channels", "quiet_passes")
    op.drop_column("channels", "quiet")
