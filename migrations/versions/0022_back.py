"""Whether a rollout brings containers back stands with it, and need not be read in its plan.

Rollouts that were made before keep null, and are asked for in their plans as they were.
"""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column(
        "rollouts",
        sa.Column(
            "back",
            sa.Boolean(),
            nullable=True,
            comment="whether it brings containers back to what ran before; null: written before that was told, its plan says so",
        ),
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_column("rollouts", "back")
