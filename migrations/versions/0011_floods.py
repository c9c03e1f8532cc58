"""When a host flooded the broker."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make it."""
    comment = "when its right to append was last taken for a while, since it sent too much"
    op.add_column("hosts", sa.Column("muted_at", sa.DateTime(timezone=True), nullable=True, comment=comment))


def downgrade() -> None:
    """Drop it."""
    op.drop_column("hosts", "muted_at")
