"""Updates in the middle of which the agent ended."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

COMMENT = "whether the agent ended in the middle of it; null: written before that was told"


def upgrade() -> None:
    """Make it."""
    op.add_column("updates", sa.Column("interrupted", sa.Boolean(), nullable=True, comment=COMMENT))


def downgrade() -> None:
    """Drop it."""
    op.drop_column("updates", "interrupted")
