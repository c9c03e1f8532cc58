"""What of a container its user set."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make it."""
    items = sa.JSON().with_variant(JSONB(), "postgresql")
    comment = "paths of what its user set among what an image may say, without a value; null: not told"
    op.add_column("containers", sa.Column("own", items, nullable=True, comment=comment))


def downgrade() -> None:
    """Drop it."""
    op.drop_column("containers", "own")
