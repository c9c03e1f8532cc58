"""An index of the updates of a host that changed nothing: what failed there, and what was not needed.

On PostgreSQL it is there already where facts are (``fleet.history.upkeep.missing_indexes``).
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make it."""
    unchanged = sa.text("result <> 'updated'")
    op.create_index(
        "ix_updates_unchanged",
        "updates",
        ["host_id", "id"],
        unique=False,
        if_not_exists=True,
        sqlite_where=unchanged,
        postgresql_where=unchanged,
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_index("ix_updates_unchanged", "updates")
