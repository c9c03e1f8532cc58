"""How far the updates of each part of a closed day reach, so that a time long ago is found without reading its whole day.

Days that were closed before get theirs when the planner next closes days; until then they are read as they were.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column(
        "days",
        sa.Column(
            "reach",
            sa.JSON().with_variant(JSONB(), "postgresql"),
            nullable=True,
            comment="as highest_id, for each ten minutes from midnight on; null: not looked at yet",
        ),
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_column("days", "reach")
