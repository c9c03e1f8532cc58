"""Since when each host tells of its engine: where two tell of one, it is whose who told of it first, and not who was added first.

An earlier release that still runs goes by when they were added. What it writes meanwhile counts as told of since ever.
"""

import sqlalchemy as sa
from alembic import op

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    since = "since when it tells of this engine; null: since before that was kept"
    op.add_column("hosts", sa.Column("engine_since", sa.DateTime(timezone=True), nullable=True, comment=since))


def downgrade() -> None:
    """Drop it."""
    op.drop_column("hosts", "engine_since")
