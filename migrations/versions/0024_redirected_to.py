"""An attempt tells the hosts to which its source sent for bytes: a store or a CDN gave them, and not who was asked.

Attempts that were written down before keep null: it is not known.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column(
        "attempts",
        sa.Column(
            "redirected_to",
            sa.JSON().with_variant(JSONB(), "postgresql"),
            nullable=True,
            comment="hosts to which it sent for bytes; null: written before that was told",
        ),
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_column("attempts", "redirected_to")
