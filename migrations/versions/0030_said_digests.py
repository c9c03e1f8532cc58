"""What each host said that was asked what a tag resolves to is kept, so that two may be asked and compared.

An earlier release that still runs asks one host, whose word is believed as before; its own answers it does not keep.
"""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    comment = "what it said; empty: that it cannot tell; null: nothing yet"
    op.add_column("resolves", sa.Column("digest", sa.Text(), nullable=True, comment=comment))


def downgrade() -> None:
    """Drop it."""
    op.drop_column("resolves", "digest")
