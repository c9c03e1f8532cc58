"""Where a container may write to what outlives it."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make it."""
    items = sa.JSON().with_variant(JSONB(), "postgresql")
    comment = "paths in it at which it may write to what outlives it; null: not told"
    op.add_column("containers", sa.Column("keeps", items, nullable=True, comment=comment))


def downgrade() -> None:
    """Drop it."""
    op.drop_column("containers", "keeps")
