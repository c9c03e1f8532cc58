"""An index of the ends of the ids of updates, by which people name an outcome.

On PostgreSQL it is there already where facts are (``fleet.history.upkeep.missing_indexes``).
"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make it."""
    ends = "right(id::text, 8)" if op.get_bind().dialect.name == "postgresql" else "substr(id, 25)"
    op.create_index("ix_updates_short_id", "updates", [sa.text(ends)], unique=False, if_not_exists=True)


def downgrade() -> None:
    """Drop it."""
    op.drop_index("ix_updates_short_id", "updates")
