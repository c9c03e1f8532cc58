"""Failures of a rollout's hosts, found without reading its other hosts."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make it."""
    failed = sa.text("failure IS NOT NULL")
    op.create_index(
        "ix_rollout_hosts_failed",
        "rollout_hosts",
        ["rollout_id", "changed_at"],
        unique=False,
        sqlite_where=failed,
        postgresql_where=failed,
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_index("ix_rollout_hosts_failed", "rollout_hosts")
